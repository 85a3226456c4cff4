"""The page of the administrator: devices, versions, drift and updates.

Rendered here, without scripts. Logging in sets a cookie that ends after a day,
and with the token. It is signed with a key that never leaves the server. A
request from another site does not carry it (SameSite=Strict), and the only form
changes nothing but the cookie itself.
"""

import hashlib
import hmac
import json
import pathlib
import time
import urllib.parse

import fastapi
import jinja2
import sqlalchemy as sa
from fastapi import responses
from starlette import concurrency

from palmjax.edge.server import access, database, service, tokens

router = fastapi.APIRouter(include_in_schema=False)
_COOKIE, _LIFE = 'palmjax_session', 86_400
_MOST_FORM = 1000  # Bytes.
_POINTS = 40  # Reports of a device in its curve.
_SIDES = 240, 48  # Pixels of a curve.

_TEMPLATES = jinja2.Environment(
  loader=jinja2.FileSystemLoader(pathlib.Path(__file__).parent / 'templates'),
  autoescape=True,
  trim_blocks=True,
  lstrip_blocks=True,
  undefined=jinja2.StrictUndefined,
)


@router.get('/')
def page(request: fastapi.Request):
  """The page, or the form to log in."""
  with database.reading(request.app.state.service.engine) as session:
    if not _is_logged_in(request, session):
      return _render('login.html', message='')
    return _render('devices.html', **_facts(request, session))


@router.post('/login')
async def login(request: fastapi.Request):
  """Checks the administrator's token and sets the cookie."""
  content = bytearray()
  async for part in request.stream():
    content += part
    if len(content) > _MOST_FORM:
      raise access.problem(413, 'a token is shorter')
  form = urllib.parse.parse_qs(content.decode('utf-8', 'replace'))
  token = form.get('token', [''])[0].strip()
  # A database that is slow stops nobody else.
  return await concurrency.run_in_threadpool(_log_in, request, token)


def _log_in(request, token):
  app = request.app.state
  caller = request.client.host if request.client else ''
  with database.reading(app.service.engine) as session:
    good = tokens.is_admin(session, token)
    key = _cookie_key(request, session)
  if not good:
    if seconds := app.buckets.wait(f'guess {caller}', time.monotonic()):
      raise access.busy(429, 'too many attempts; wait', seconds)
    return _render('login.html', message='That is not the token.', status=401)
  response = responses.RedirectResponse('/', status_code=303)
  response.set_cookie(
    _COOKIE,
    _signed(key, int(time.time()) + _LIFE),
    max_age=_LIFE,
    httponly=True,
    samesite='strict',
    secure=request.url.scheme == 'https',
  )
  return response


@router.post('/logout')
def logout():
  """Takes the cookie away."""
  response = responses.RedirectResponse('/', status_code=303)
  response.delete_cookie(_COOKIE)
  return response


def _render(name, *, status=200, **values):
  return responses.HTMLResponse(
    _TEMPLATES.get_template(name).render(**values), status_code=status
  )


def _cookie_key(request, session):
  """Another token of the administrator makes another key."""
  key = request.app.state.service.cookie_key
  return key + tokens.admin_hash(session).encode()


def _signed(key, until):
  mac = hmac.new(key, str(until).encode(), hashlib.sha256).hexdigest()
  return f'{until}.{mac}'


def _is_logged_in(request, session):
  until, _, _ = request.cookies.get(_COOKIE, '').partition('.')
  if not until.isascii() or not until.isdigit() or len(until) > 12:
    return False
  wanted = _signed(_cookie_key(request, session), int(until))
  given = request.cookies[_COOKIE]
  return hmac.compare_digest(
    wanted.encode(), given.encode()
  ) and time.time() < int(until)


def _facts(request, session):
  """What the template shows."""
  table = database.DeviceRow
  latest = service.latest_package(session)
  rows = session.scalars(sa.select(table).order_by(table.made)).all()
  return {
    'devices': [_device(session, r, latest) for r in rows if not r.revoked],
    'revoked': [_device(session, r, latest) for r in rows if r.revoked],
    'latest': latest,
    'waiting': request.app.state.worker.waiting,
    'works': request.app.state.worker.alive,
    'now': _time(database.now()),
  }


def _device(session, row, latest):
  reports = session.execute(
    sa.select(database.ReportRow.made, database.ReportRow.body)
    .where(database.ReportRow.device == row.id)
    .order_by(database.ReportRow.made.desc())
    .limit(_POINTS)
  ).all()
  dated = [(made, json.loads(body)) for made, body in reversed(reports)]
  newest = dated[-1][1] if dated else None
  means = [
    (made, body['score_mean'])
    for made, body in dated
    if body['score_mean'] is not None
  ]
  updates = [update for _, body in dated for update in body['updates']]
  if row.revoked:
    state = 'revoked'
  elif row.expires <= database.now():
    state = 'expired'
  else:
    state = 'active'
  return {
    'label': row.label,
    'id': str(row.id),
    'state': state,
    'seen': _time(row.seen),
    'current': bool(newest) and newest['version'] == latest.version,
    'waiting': session.scalar(
      sa.select(sa.func.count())
      .select_from(database.SampleRow)
      .where(
        database.SampleRow.device == row.id,
        database.SampleRow.state == database.WAITING,
      )
    ),
    'newest': newest,
    'scores': _scores(means),
    'updates': list(reversed(updates))[:10],
  }


def _scores(means):
  """What the chart shows of [(time, mean score)], the oldest first."""
  if not means:
    return None
  values = [value for _, value in means]
  return {
    'number': len(values),
    'first': values[0],
    'last': values[-1],
    'least': min(values),
    'most': max(values),
    'since': _time(means[0][0]),
    'until': _time(means[-1][0]),
    'points': _points(values),
  }


def _points(values):
  """Points of an SVG polyline; '' of fewer than two values."""
  if len(values) < 2:
    return ''
  width, height = _SIDES
  low, high = min(values), max(values)
  return ' '.join(
    f'{width * i / (len(values) - 1):.1f},'
    f'{height - (height - 4) * (v - low) / max(high - low, 1e-9) - 2:.1f}'
    for i, v in enumerate(values)
  )


def _time(moment):
  return moment.strftime('%Y-%m-%d %H:%M UTC') if moment else 'never'

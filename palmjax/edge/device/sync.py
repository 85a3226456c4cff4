"""What a device says to its server, until the server has acknowledged it.

Requests for the server lie in the outbox and leave it when they were answered.
Each may be sent twice: the server knows them by their ids. A network that is
cut, a server that is busy or gone, and a kill lose nothing.
"""

import json
import random
import time

import httpx
import sqlalchemy as sa

from palmjax.edge import package, protocol, rules
from palmjax.edge.device import capture, learning, reports, store, tables

_TOKEN, _PUBLIC = 'token', 'public key'
_TRIES, _LONGEST = 5, 60.0  # Of a request; seconds of a pause.
_LABELS = 100
_AGAIN = (429, 502, 503, 504)
# Requests that the server will never take.
_REFUSED = (404, 409, 413, 415, 422)


class UnreachableError(ValueError):
  """The server does not answer, or not to this device; nothing is lost."""


class Server:
  """A server as its device speaks to it."""

  def __init__(self, url, token, *, verify=True, transport=None, sleep=None):
    """Takes the address and the token.

    Args:
      url: http:// or https:// and host.
      token: of the device.
      verify: True, or the file of a certificate to trust.
      transport: of httpx, for tests.
      sleep: seconds → None.
    """
    self._sleep = sleep or time.sleep
    self._client = httpx.Client(
      base_url=url,
      headers={'Authorization': f'Bearer {token}'},
      timeout=30.0,
      verify=verify,
      transport=transport,
    )

  def ask(self, method, path, **options):
    """The answer to a request, which is sent again where that may help.

    Raises:
      UnreachableError: no answer, or the token is not good.
    """
    for number in range(_TRIES):
      pause = min(2.0**number, _LONGEST) * random.uniform(0.5, 1.0)
      try:
        answer = self._client.request(method, path, **options)
      except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
        raise UnreachableError(f'--server: {error}') from error
      except httpx.HTTPError as error:
        reason = type(error).__name__
      else:
        if answer.status_code == 401:
          raise UnreachableError(
            f'the server refuses this device: {_detail(answer)}'
          )
        if answer.status_code not in _AGAIN:
          return answer
        reason = f'it answers {answer.status_code}'
        pause = _retry_after(answer, pause)
      if number + 1 < _TRIES:
        self._sleep(pause)
    raise UnreachableError(
      f'the server cannot be reached ({reason}); all is kept here, try again '
      'later'
    )


def join(device, code):
  """Keeps the token and the public key of a server.

  Raises:
    ValueError: the code is none.
  """
  token, public_key = protocol.read_join_code(code)
  with device.session() as session:
    store.put(device, session, _TOKEN, token.encode())
    store.put(device, session, _PUBLIC, public_key.encode())


def credentials(device):
  """(token, public key) of `join`.

  Raises:
    ValueError: the device has not joined.
  """
  with device.session() as session:
    secrets = [store.get(device, session, name) for name in (_TOKEN, _PUBLIC)]
  if None in secrets:
    raise ValueError(
      'this device has not joined a server: run `join CODE` with the code that '
      'python -m palmjax.edge.server --add-device=LABEL prints'
    )
  return tuple(value.decode() for value in secrets)


def run(device, server, public_key, settings, now):
  """Sends what waits, fetches labels and the newest student.

  Args:
    device: `store.Store`.
    server: `Server`.
    public_key: that packages must be signed with.
    settings: `capture.KeepingRules`.
    now: seconds of the system's clock.

  Returns:
    {'sent', 'refused', 'asked', 'labels', 'student'}: counts, and whether the
    student changed.

  Raises:
    UnreachableError: what was done until then stays done.
  """
  done = {'sent': 0, 'refused': 0, 'asked': 0, 'labels': 0}
  # The first package before all else: nothing works without a student.
  done['student'] = _fetch_student(device, server, public_key)
  with device.session() as session:
    done['asked'] = _ask_for_labels(device, session, settings, now)
    reports.owe(device, session)
  for key, count in _send(device, server).items():
    done[key] += count
  done['labels'] = _fetch_labels(device, server)
  # Their deletion.
  for key, count in _send(device, server).items():
    done[key] += count
  if done['sent']:
    device.clean()  # Of what was sent nothing stays in free pages.
  return done


def rotate_token(device, server):
  """Asks for another token and keeps it."""
  answer = server.ask('POST', '/v1/token/rotate')
  answer.raise_for_status()
  with device.session() as session:
    store.put(device, session, _TOKEN, answer.json()['token'].encode())


def _fetch_student(device, server, public_key):
  latest = server.ask('GET', '/v1/packages/latest')
  if latest.status_code != 200:
    raise UnreachableError(f'the server has no student: {_detail(latest)}')
  latest = protocol.LatestPackage(**latest.json())
  if learning.known_version(device) >= latest.version:
    return False
  content = server.ask('GET', f'/v1/packages/{latest.digest}').content
  read = package.read(content, public_key=public_key)
  if read.digest != latest.digest:
    raise package.PackageError('the server sent another package; try again')
  return learning.take_package(device, read)


def _ask_for_labels(device, session, settings, now):
  """Puts second target samples into the outbox, once each (claim 5b)."""
  waiting = session.scalars(
    sa.select(tables.KeptSample).where(
      tables.KeptSample.state == tables.WAITING,
      tables.KeptSample.asked.is_(False),
    )
  ).all()
  if not rules.should_fetch_labels(
    len(waiting),
    enough=settings.ask,
    online=True,
    idle=capture.is_idle(device, session, settings, now),
  ):
    return 0
  for row in waiting:
    image = device.open(row, 'image')
    store.send(device, session, 'PUT', f'/v1/samples/{row.id}', image)
    row.asked = True
  return len(waiting)


def _send(device, server):
  """Sends the outbox in its order."""
  done = {'sent': 0, 'refused': 0}
  while True:
    with device.session() as session:
      row = session.scalar(
        sa.select(tables.Outgoing).order_by(tables.Outgoing.number).limit(1)
      )
      if row is None:
        return done
      body = device.open(row, 'body')
    options = {}
    if body is not None:
      kind = 'application/json' if row.method == 'POST' else 'image/png'
      options = {'content': body, 'headers': {'Content-Type': kind}}
    answer = server.ask(row.method, row.path, **options)
    if answer.is_success:
      done['sent'] += 1
    elif answer.status_code in _REFUSED:
      done['refused'] += 1
    else:
      raise UnreachableError(
        f'the server answers {answer.status_code}; try again later'
      )
    with device.session() as session:
      session.execute(
        sa.delete(tables.Outgoing).where(tables.Outgoing.number == row.number)
      )


def _fetch_labels(device, server):
  """Stores labels with their samples (claim 5c); how many there were."""
  count = 0
  while True:
    answer = server.ask('GET', '/v1/labels', params={'limit': _LABELS})
    if answer.status_code != 200:
      raise UnreachableError(f'no labels: {_detail(answer)}')
    labels = [protocol.Label(**one) for one in answer.json()]
    if not labels:
      return count
    with device.session() as session:
      for label in labels:
        count += _store_label(device, session, label)
        path = f'/v1/samples/{label.sample}'
        store.send(device, session, 'DELETE', path)
    # Until they are deleted the same labels would come again.
    _send(device, server)


def _store_label(device, session, label):
  row = session.get(tables.KeptSample, str(label.sample))
  if row is None or row.state != tables.WAITING:
    return 0  # Evicted, forgotten, or labelled already.
  owners = dict(
    session.execute(
      sa.select(tables.KeptReference.id, tables.KeptReference.user)
    ).all()
  )
  user = owners.get(str(label.reference)) if label.reference else None
  if user is None:
    session.delete(row)  # A stranger.
    return 1
  soft = {}
  for one in label.soft:
    if owner := owners.get(str(one.reference)):
      soft[owner] = soft.get(owner, 0.0) + one.probability
  row.user, row.state = user, tables.USABLE
  row.soft = device.seal(json.dumps(soft).encode(), row, 'soft')
  return 1


def _retry_after(answer, pause):
  text = answer.headers.get('Retry-After', '')
  seconds = float(text) if text.isdigit() else pause
  return min(max(seconds, pause), _LONGEST)


def _detail(answer):
  try:
    return str(answer.json()['detail'])
  except (ValueError, KeyError, TypeError):
    return f'status {answer.status_code}'

"""Who asks, and how much of it is taken: what routes depend on."""

import datetime
import time
from typing import Annotated

import fastapi
from fastapi import security
from starlette import concurrency

from palmjax.edge import protocol
from palmjax.edge.server import database, tokens, uploads

_BEARER = security.HTTPBearer(auto_error=False)
Bearer = Annotated[
  security.HTTPAuthorizationCredentials | None, fastapi.Depends(_BEARER)
]
# A write for each request would cost more than most requests.
_SEEN_EVERY = datetime.timedelta(minutes=1)
_CHALLENGE = {'WWW-Authenticate': 'Bearer'}


def problem(status, detail, headers=None):
  """The error of a status, one line."""
  return fastapi.HTTPException(status, detail, headers)


def busy(status, detail, seconds):
  """An error that tells when to come again."""
  return problem(status, detail, {'Retry-After': str(seconds)})


def device(request: fastapi.Request, bearer: Bearer):
  """Id of the device whose token came with the request."""
  app = request.app.state
  # Guesses from one address share a bucket.
  caller = request.client.host if request.client else ''
  if bearer is None:
    raise problem(401, 'send the token of the device as a bearer', _CHALLENGE)
  now = database.now()
  try:
    with database.reading(app.service.engine) as session:
      row = tokens.device_of(session, bearer.credentials, now)
  except tokens.RefusedError as error:
    _take(app, f'guess {caller}')
    raise problem(401, str(error), _CHALLENGE) from error
  request.state.device = str(row.id)
  _take(app, str(row.id))
  if row.seen is None or now - row.seen >= _SEEN_EVERY:
    with database.session(app.service.engine) as session:
      session.get(database.DeviceRow, row.id).seen = now
  return row.id


def administrator(request: fastapi.Request, bearer: Bearer):
  """Lets the administrator pass."""
  app = request.app.state
  caller = request.client.host if request.client else ''
  token = bearer.credentials if bearer else ''
  with database.reading(app.service.engine) as session:
    if tokens.is_admin(session, token):
      return
  _take(app, f'guess {caller}')
  raise problem(401, "send the administrator's token as a bearer", _CHALLENGE)


def require_bounded(request):
  """Refuses a body that is too large, or does not tell how large it is."""
  if 'transfer-encoding' in request.headers:
    raise problem(411, 'send the body whole, with a Content-Length')
  # The HTTP library has checked that it is a number, and reads no more.
  if int(request.headers.get('content-length', 0)) > protocol.MOST_BYTES:
    raise problem(413, f'a body has at most {protocol.MOST_BYTES} bytes')


async def image(request: fastapi.Request):
  """The bytes of an image, within the limits."""
  content = await request.body()
  try:
    await concurrency.run_in_threadpool(uploads.check, content)
  except ValueError as error:
    raise problem(415, f'this is no palm: {error}') from error
  return content


def _take(app, name):
  if seconds := app.buckets.wait(name, time.monotonic()):
    raise busy(429, 'too many requests; wait', seconds)


Device = Annotated[object, fastapi.Depends(device)]
Image = Annotated[bytes, fastapi.Depends(image)]
# What an upload looks like in the OpenAPI document.
IMAGE_BODY = {
  'requestBody': {
    'required': True,
    'content': {
      kind: {'schema': {'type': 'string', 'format': 'binary'}}
      for kind in ('image/png', 'image/jpeg', 'image/webp')
    },
  }
}
# What routes answer beside their result.
ANSWERS = {
  status: {'description': words, 'model': None}
  for status, words in {
    200: 'The same came under this id before',
    400: 'A body that is no JSON',
    401: 'No good token',
    404: 'Nothing of this device has this id',
    409: 'Other bytes came under this id before, or the label is taken',
    411: 'A body without a Content-Length',
    413: 'Too many bytes',
    415: 'No image of a palm',
    422: 'An id or a body of another form',
    429: 'Too many requests; see Retry-After',
    503: 'Too much is waiting, or no database; see Retry-After',
  }.items()
}
ANSWERS_OF_JSON = {status: ANSWERS[status] for status in (400, 411, 413)}

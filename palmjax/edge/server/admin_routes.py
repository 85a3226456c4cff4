"""Routes of the administrator, and those that anybody may ask for."""

import uuid

import fastapi
import sqlalchemy as sa
from fastapi import responses

from palmjax.edge import protocol
from palmjax.edge.server import access, database, tokens

router = fastapi.APIRouter(tags=['administrator'])
_ADMIN = [fastapi.Depends(access.administrator)]
_ERRORS = {status: access.ANSWERS[status] for status in (401, 422, 429, 503)}


@router.get('/healthz', tags=['open'], responses={503: access.ANSWERS[503]})
def health(request: fastapi.Request) -> dict[str, bool]:
  """Whether the database answers and the teacher works."""
  app = request.app.state
  try:
    with database.reading(app.service.engine) as session:
      session.execute(sa.text('SELECT 1'))
  except sa.exc.SQLAlchemyError as error:
    raise access.busy(503, 'the database does not answer', 10) from error
  return {'database': True, 'teacher': app.worker.alive}


@router.get(
  '/metrics',
  dependencies=_ADMIN,
  responses={**_ERRORS, 200: {'content': {'text/plain': {}}}},
  response_class=responses.PlainTextResponse,
)
def metrics(request: fastapi.Request):
  """Counts and times, for Prometheus."""
  return responses.PlainTextResponse(request.app.state.counts.text())


@router.post(
  '/v1/devices',
  status_code=201,
  dependencies=_ADMIN,
  responses={**_ERRORS, 409: access.ANSWERS[409], **access.ANSWERS_OF_JSON},
)
def add_device(
  request: fastapi.Request, new: protocol.NewDevice
) -> protocol.Granted:
  """Adds a device; its token is told this once."""
  with database.session(request.app.state.service.engine) as session:
    try:
      device, token = tokens.add_device(session, new.label, database.now())
    except tokens.LabelError as error:
      raise access.problem(409, str(error)) from error
    return _granted(device, token)


@router.get('/v1/devices', dependencies=_ADMIN, responses=_ERRORS)
def list_devices(request: fastapi.Request) -> list[protocol.Device]:
  """All devices."""
  table = database.DeviceRow
  with database.reading(request.app.state.service.engine) as session:
    return [
      protocol.Device(
        device=row.id,
        label=row.label,
        expires=row.expires,
        revoked=row.revoked,
        seen=row.seen,
      )
      for row in session.scalars(sa.select(table).order_by(table.made))
    ]


@router.post(
  '/v1/devices/{name}/rotate',
  dependencies=_ADMIN,
  responses={**_ERRORS, 404: access.ANSWERS[404]},
)
def rotate_device(
  request: fastapi.Request, name: uuid.UUID
) -> protocol.Granted:
  """Another token for a device whose token is lost; the old one ends now."""
  with database.session(request.app.state.service.engine) as session:
    device = _device(session, name)
    token = tokens.rotate(device, database.now())
    return _granted(device, token)


@router.delete(
  '/v1/devices/{name}',
  status_code=204,
  dependencies=_ADMIN,
  responses={**_ERRORS, 404: access.ANSWERS[404]},
)
def revoke_device(request: fastapi.Request, name: uuid.UUID):
  """Ends a device for good; its references and samples are deleted."""
  with database.session(request.app.state.service.engine) as session:
    tokens.revoke(session, _device(session, name))


def _device(session, name):
  # The device itself may ask for another token at the same time.
  device = session.get(database.DeviceRow, name, with_for_update=True)
  if device is None:
    raise access.problem(404, 'there is no such device')
  return device


def _granted(device, token):
  return protocol.Granted(device=device.id, token=token, expires=device.expires)

"""Routes of devices: references, samples, labels, packages, reports."""

import hashlib
import json
import uuid
from typing import Annotated

import fastapi
import sqlalchemy as sa
from fastapi import responses

from palmjax.edge import protocol
from palmjax.edge.server import access, database, service, tokens, worker

router = fastapi.APIRouter(prefix='/v1', tags=['device'])
_RETRY = 5  # Seconds.


def _answers(*statuses):
  return {
    status: access.ANSWERS[status] for status in (401, 422, 429, 503, *statuses)
  }


_UPLOAD = {
  'openapi_extra': access.IMAGE_BODY,
  'responses': _answers(200, 409, 411, 413, 415),
}


@router.put('/references/{name}', status_code=201, **_UPLOAD)
def put_reference(
  request: fastapi.Request,
  name: uuid.UUID,
  device: access.Device,
  image: access.Image,
):
  """Takes the image of somebody enrolled; the teacher's embedding stays."""
  return _put(request, database.ReferenceRow, device, name, image)


@router.put('/samples/{name}', status_code=202, **_UPLOAD)
def put_sample(
  request: fastapi.Request,
  name: uuid.UUID,
  device: access.Device,
  image: access.Image,
):
  """Takes a second target sample to be labelled."""
  return _put(request, database.SampleRow, device, name, image)


@router.delete('/references/{name}', status_code=204, responses=_answers())
def delete_reference(
  request: fastapi.Request, name: uuid.UUID, device: access.Device
):
  """Forgets somebody: the embedding, and the person in all labels."""
  with database.session(request.app.state.service.engine) as session:
    _delete(session, database.ReferenceRow, device, name)
    # The row is changed first: whoever labels with it meanwhile ends first.
    session.flush()
    _forget_in_labels(session, device, str(name))


@router.delete('/samples/{name}', status_code=204, responses=_answers())
def delete_sample(
  request: fastapi.Request, name: uuid.UUID, device: access.Device
):
  """Forgets a sample, once the device has its label."""
  with database.session(request.app.state.service.engine) as session:
    _delete(session, database.SampleRow, device, name)


@router.get('/labels', responses=_answers())
def get_labels(
  request: fastapi.Request,
  device: access.Device,
  query: Annotated[protocol.LabelsQuery, fastapi.Query()],
) -> list[protocol.Label]:
  """Labels of this device's samples, the oldest first, until deleted."""
  table = database.SampleRow
  with database.reading(request.app.state.service.engine) as session:
    rows = session.scalars(
      sa.select(table.label)
      .where(table.device == device, table.state == database.LABELLED)
      .order_by(table.made)
      .limit(query.limit)
    ).all()
  return [protocol.Label(**json.loads(row)) for row in rows]


@router.get('/packages/latest', responses=_answers())
def latest(
  request: fastapi.Request, device: access.Device
) -> protocol.LatestPackage:
  """The package that the device should have."""
  del device
  with database.reading(request.app.state.service.engine) as session:
    newest = service.latest_package(session)
  return protocol.LatestPackage(
    digest=newest.digest, version=newest.version, size=newest.size
  )


@router.get(
  '/packages/{digest}',
  responses={
    **_answers(404),
    200: {'content': {'application/x-tar': {}}},
  },
  response_class=responses.Response,
)
def get_package(
  request: fastapi.Request, digest: protocol.Digest, device: access.Device
):
  """The bytes of a package."""
  del device
  with database.reading(request.app.state.service.engine) as session:
    package_row = session.get(database.PackageRow, digest)
  if package_row is None:
    raise access.problem(404, 'there is no such package')
  return responses.Response(package_row.content, media_type='application/x-tar')


@router.post(
  '/reports/{name}',
  status_code=201,
  responses={**_answers(200, 409), **access.ANSWERS_OF_JSON},
)
def post_report(
  request: fastapi.Request,
  name: uuid.UUID,
  device: access.Device,
  report: protocol.Report,
):
  """Takes what a device tells of itself; the same id counts once."""
  body = report.model_dump_json()
  table = database.ReportRow
  values = {'made': database.now(), 'body': body}
  with database.session(request.app.state.service.engine) as session:
    if database.insert(session, table, device=device, id=name, **values):
      return {}
    if session.get(table, (device, name)).body != body:
      raise access.problem(409, 'another report has this id')
  return responses.JSONResponse({}, status_code=200)


@router.post('/token/rotate', responses=_answers())
def rotate(
  request: fastapi.Request, device: access.Device, bearer: access.Bearer
) -> protocol.Granted:
  """Another token; the old one is good for ten more minutes."""
  with database.session(request.app.state.service.engine) as session:
    row = session.get(database.DeviceRow, device, with_for_update=True)
    token = tokens.rotate(row, database.now(), bearer.credentials)
    return protocol.Granted(device=row.id, token=token, expires=row.expires)


def _put(request, table, device, name, image):
  app = request.app.state
  if app.worker.waiting >= app.service.limits.waiting:
    raise access.busy(503, 'too many images wait for the teacher', _RETRY)
  digest = hashlib.sha256(image).hexdigest()
  key = {'device': device, 'id': name}
  values = {
    'state': database.WAITING,
    'digest': digest,
    'made': database.now(),
    'image': app.service.sealer.seal(image, worker.purpose(table(**key))),
  }
  if not app.inserts.insert(table, **key, **values):
    with database.reading(app.service.engine) as session:
      old = session.get(table, (device, name))
    # A deletion that overtook the upload knows no digest.
    if old.digest not in (digest, ''):
      raise access.problem(409, 'another image has this id')
    return responses.JSONResponse({}, status_code=200)
  app.worker.call()
  return {}


def _delete(session, table, device, name):
  values = {'state': database.DELETED, 'made': database.now(), 'digest': ''}
  if database.insert(session, table, device=device, id=name, **values):
    return
  row = session.get(table, (device, name), with_for_update=True)
  row.state, row.image = database.DELETED, None
  if table is database.SampleRow:
    row.label = None
  else:
    row.embedding = None


def _forget_in_labels(session, device, name):
  table = database.SampleRow
  for row in session.scalars(
    sa.select(table)
    .where(table.device == device, table.state == database.LABELLED)
    .order_by(table.id)
    # Two who are forgotten at once change the same labels one after the other.
    .with_for_update()
  ):
    label = json.loads(row.label)
    if label['reference'] == name:
      label['reference'], label['confidence'] = None, 0.0
    label['soft'] = [p for p in label['soft'] if p['reference'] != name]
    row.label = json.dumps(label)

"""A revoked device leaves nothing of people on the server."""

import sqlalchemy as sa

from palmjax.edge.server import database, tokens, worker
from tests.edge import served

TABLES = database.ReferenceRow, database.SampleRow


def device_of(service, headers):
  value = headers['Authorization'].removeprefix('Bearer ')
  with database.session(service.engine) as session:
    return tokens.device_of(session, value, database.now()).id


def contents(service, name):
  """{(table, state, whether anything is left)} of a device's rows."""
  states = set()
  with database.session(service.engine) as session:
    for table in TABLES:
      for row in session.scalars(sa.select(table).where(table.device == name)):
        content = getattr(row, 'embedding', None) or getattr(row, 'label', None)
        left = bool(row.image or content or row.digest)
        states.add((row.__tablename__, row.state, left))
  return states


def test_its_references_and_samples_are_deleted_and_others_stay(server, device):
  other = served.add_device(server.service)
  for headers in (device, other):
    served.enrol(server, headers, 1)
    answer = server.client.put(
      f'/v1/samples/{served.new_id()}', content=served.png(2), headers=headers
    )
    assert answer.status_code == 202
    served.labels(server, headers)
  name = device_of(server.service, device)
  name_of_other = device_of(server.service, other)
  kept = {('reference', 'labelled', True), ('sample', 'labelled', True)}
  assert contents(server.service, name) == kept
  path = f'/v1/devices/{name}'
  assert server.client.delete(path, headers=server.admin).status_code == 204
  assert contents(server.service, name) == {
    ('reference', 'deleted', False),
    ('sample', 'deleted', False),
  }
  assert contents(server.service, name_of_other) == kept


def test_an_image_that_came_too_late_is_deleted(tmp_path, export):
  """Its request was let in before the device was revoked."""
  started, _ = served.start(tmp_path, export)
  name = device_of(started, served.add_device(started))
  with database.session(started.engine) as session:
    tokens.revoke(session, session.get(database.DeviceRow, name))
  for table in TABLES:
    with database.session(started.engine) as session:
      row = table(
        device=name,
        id=name,
        state=database.WAITING,
        digest='',
        made=database.now(),
      )
      row.image = started.sealer.seal(served.png(1), worker.purpose(row))
      session.add(row)
    assert worker.label_batch(started) == 1
  assert contents(started, name) == {
    ('reference', 'deleted', False),
    ('sample', 'deleted', False),
  }

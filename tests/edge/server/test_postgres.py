"""Tables of the server in PostgreSQL, where transactions run side by side."""

import threading
import time
import types
import uuid

import pytest
import sqlalchemy as sa
from starlette import testclient

from palmjax.edge import protocol
from palmjax.edge.server import app, database, worker
from tests.edge import served

pytestmark = pytest.mark.slow


@pytest.fixture(scope='module')
def server(tmp_path_factory, export, postgres):
  """A server on PostgreSQL, whose teacher works when it is told."""
  started, _ = served.start(
    tmp_path_factory.mktemp('server'), export, database_url=postgres
  )
  yield types.SimpleNamespace(
    service=started, client=testclient.TestClient(app.create(started))
  )
  started.engine.dispose()


def put(server, device, kind, seed):
  name = str(uuid.uuid4())
  answer = server.client.put(
    f'/v1/{kind}/{name}', content=served.png(seed), headers=device
  )
  assert answer.status_code in (201, 202)
  return name


def labels(server, device):
  answer = server.client.get('/v1/labels', headers=device)
  return [protocol.Label(**label) for label in answer.json()]


def wait_for_lock(engine):
  """Waits until one transaction waits for another."""
  query = sa.text(
    "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
  )

  def waits():
    with engine.connect() as connection:
      return connection.scalar(query)

  served.wait_for(waits)


def test_references_samples_and_labels(server, device):
  reference = put(server, device, 'references', 1)
  assert worker.label_batch(server.service) == 1
  sample = put(server, device, 'samples', 2)
  assert worker.label_batch(server.service) == 1
  assert worker.label_batch(server.service) == 0
  (label,) = labels(server, device)
  assert str(label.sample) == sample
  assert [str(p.reference) for p in label.soft] == [reference]


def test_who_is_forgotten_while_a_label_is_made_is_not_in_it(
  server, device, monkeypatch
):
  """The deletion comes after the worker read the references."""
  reference = put(server, device, 'references', 3)
  worker.label_batch(server.service)
  put(server, device, 'samples', 4)
  answers = []

  def forget():
    path = f'/v1/references/{reference}'
    answers.append(server.client.delete(path, headers=device).status_code)

  deletion = threading.Thread(target=forget)
  soft = worker.labels.soft

  def delayed(*args, **options):
    deletion.start()
    time.sleep(1)  # The deletion could end in this time.
    return soft(*args, **options)

  monkeypatch.setattr(worker.labels, 'soft', delayed)
  worker.label_batch(server.service)
  deletion.join()
  assert answers == [204]
  (label,) = labels(server, device)
  assert (label.reference, label.soft) == (None, [])


def test_a_label_waits_for_a_deletion_that_has_begun(server, device):
  reference = put(server, device, 'references', 5)
  worker.label_batch(server.service)
  put(server, device, 'samples', 6)
  table = database.ReferenceRow
  labelling = threading.Thread(target=worker.label_batch, args=[server.service])
  with database.session(server.service.engine) as session:
    row = session.scalar(
      sa.select(table).where(table.id == uuid.UUID(reference))
    )
    row.embedding, row.state = None, database.DELETED
    session.flush()
    labelling.start()
    wait_for_lock(server.service.engine)
  labelling.join()
  (label,) = labels(server, device)
  assert label.soft == []

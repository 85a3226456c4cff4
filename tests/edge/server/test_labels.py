"""Labels of samples: by the teacher, once, and of nobody forgotten."""

import uuid

import numpy as np
import pytest
import sqlalchemy as sa
from PIL import Image
from starlette import testclient

from palmjax.edge import labels
from palmjax.edge.server import app, database, worker
from tests.edge import served


def test_a_sample_gets_the_label_of_the_teacher(server, device):
  """S4; soft and hard label by hand, and the image is then erased."""
  names = sorted(
    [served.enrol(server, device, 1), served.enrol(server, device, 2)]
  )
  sample, content = served.new_id(), served.png(3)
  path = f'/v1/samples/{sample}'
  answer = server.client.put(path, content=content, headers=device)
  assert answer.status_code == 202
  (label,) = served.labels(server, device)
  assert label['sample'] == sample
  assert sorted(p['reference'] for p in label['soft']) == names
  assert sum(p['probability'] for p in label['soft']) == pytest.approx(1)

  teacher = server.service.teacher
  with database.session(server.service.engine) as session:
    rows = session.scalars(
      sa.select(database.ReferenceRow)
      .where(database.ReferenceRow.id.in_([uuid.UUID(n) for n in names]))
      .order_by(database.ReferenceRow.id)
    ).all()
    kept = session.scalar(
      sa.select(database.SampleRow).where(
        database.SampleRow.id == uuid.UUID(sample)
      )
    )
  assert kept.image is None
  assert all(row.image is None for row in rows)
  references = np.stack(
    [
      np.frombuffer(
        server.service.sealer.open(row.embedding, worker.purpose(row)), 'f4'
      )
      for row in rows
    ]
  )
  image = np.asarray(
    Image.fromarray(served.palm(3)).resize((32, 32), Image.Resampling.LANCZOS)
  )
  cosines = teacher.embed(image[None]) @ references.T
  want = np.exp(32 * cosines[0])
  want /= want.sum()
  got = {p['reference']: p['probability'] for p in label['soft']}
  np.testing.assert_allclose(
    [got[str(row.id)] for row in rows], want, rtol=1e-4
  )
  stranger = cosines.max() < server.service.threshold
  best = None if stranger else str(rows[int(np.argmax(want))].id)
  assert label['reference'] == best
  # The device stored it.
  assert server.client.delete(path, headers=device).status_code == 204
  assert server.client.get('/v1/labels', headers=device).json() == []


def test_soft_labels_by_hand():
  references = np.eye(2)
  soft, best = labels.soft([[0.6, 0.8]], references, scale=2.0)
  weights = np.exp([1.2, 1.6])
  np.testing.assert_allclose(soft, [weights / weights.sum()])
  np.testing.assert_allclose(best, [0.8])


def test_a_device_without_references_learns_that_it_has_none(server, device):
  server.client.put(
    f'/v1/samples/{served.new_id()}', content=served.png(4), headers=device
  )
  (label,) = served.labels(server, device)
  assert (label['reference'], label['soft']) == (None, [])


def test_damaged_rows_stop_nobody(server, device):
  """A reference and a sample whose bytes were changed, beside sound ones."""
  damaged, sound = (served.enrol(server, device, seed) for seed in (21, 22))
  # After this label both references are embedded.
  server.client.put(
    f'/v1/samples/{served.new_id()}', content=served.png(21), headers=device
  )
  served.labels(server, device)
  sample, other = served.new_id(), served.new_id()
  now = database.now()
  with database.session(server.service.engine) as session:
    session.execute(
      sa.update(database.ReferenceRow)
      .where(database.ReferenceRow.id == uuid.UUID(damaged))
      .values(embedding=b'changed')
    )
    owner = session.scalar(
      sa.select(database.ReferenceRow.device).where(
        database.ReferenceRow.id == uuid.UUID(damaged)
      )
    )
    session.add(
      database.SampleRow(
        device=owner,
        id=uuid.UUID(sample),
        state=database.WAITING,
        digest='',
        made=now,
        image=b'changed',
      )
    )
  server.client.put(
    f'/v1/samples/{other}', content=served.png(22), headers=device
  )
  got = {
    label['sample']: label for label in served.labels(server, device, count=3)
  }
  assert (got[sample]['reference'], got[sample]['soft']) == (None, [])
  assert [p['reference'] for p in got[other]['soft']] == [sound]


def test_requests_that_come_twice_or_late_make_nothing_new(server, device):
  name, content = served.new_id(), served.png(5)
  path = f'/v1/samples/{name}'
  put = server.client.put
  assert put(path, content=content, headers=device).status_code == 202
  assert put(path, content=content, headers=device).status_code == 200
  other = put(path, content=served.png(6), headers=device)
  assert other.status_code == 409
  assert 'another image has this id' in other.json()['detail']
  served.labels(server, device)
  assert server.client.delete(path, headers=device).status_code == 204
  assert server.client.delete(path, headers=device).status_code == 204
  # Replayed after the deletion: it stays deleted.
  assert put(path, content=content, headers=device).status_code == 200
  assert server.client.get('/v1/labels', headers=device).json() == []
  # The deletion overtook the upload.
  late = f'/v1/samples/{served.new_id()}'
  assert server.client.delete(late, headers=device).status_code == 204
  assert put(late, content=content, headers=device).status_code == 200
  assert server.client.get('/v1/labels', headers=device).json() == []


def test_who_is_forgotten_is_in_no_label(server, device):
  one, two = served.enrol(server, device, 7), served.enrol(server, device, 8)
  server.client.put(
    f'/v1/samples/{served.new_id()}', content=served.png(7), headers=device
  )
  (before,) = served.labels(server, device)
  assert len(before['soft']) == 2
  path = f'/v1/references/{one}'
  assert server.client.delete(path, headers=device).status_code == 204
  (label,) = served.labels(server, device)
  assert [p['reference'] for p in label['soft']] == [two]
  assert label['reference'] in (None, two)
  with database.session(server.service.engine) as session:
    row = session.scalar(
      sa.select(database.ReferenceRow).where(
        database.ReferenceRow.id == uuid.UUID(one)
      )
    )
  assert (row.image, row.embedding) == (None, None)


def test_a_device_sees_its_own_samples_only(server, device):
  other = served.add_device(server.service, 'another')
  name, path = served.new_id(), None
  path = f'/v1/samples/{name}'
  server.client.put(path, content=served.png(9), headers=device)
  served.labels(server, device)
  assert server.client.get('/v1/labels', headers=other).json() == []
  # The same id is another sample there; its deletion deletes nothing here.
  assert server.client.delete(path, headers=other).status_code == 204
  assert len(server.client.get('/v1/labels', headers=device).json()) == 1


def test_an_image_that_breaks_off_gets_no_label_and_stops_nobody(
  server, device
):
  whole = served.png(11, size=64)
  cut = whole[: len(whole) // 2]
  for content in (cut, whole):
    server.client.put(
      f'/v1/samples/{served.new_id()}', content=content, headers=device
    )
  assert len(served.labels(server, device, 2)) == 2


def test_images_lie_sealed(server, device, export, tmp_path):
  started, _ = served.start(tmp_path, export)
  headers = served.add_device(started)
  # Without a worker the image waits.
  client = testclient.TestClient(app.create(started))
  content = served.png(13)
  client.put(f'/v1/samples/{served.new_id()}', content=content, headers=headers)
  stored = b''.join(
    path.read_bytes() for path in tmp_path.iterdir() if path.is_file()
  )
  assert content[100:160] not in stored
  for path in tmp_path.glob('*.key'):
    assert path.stat().st_mode & 0o077 == 0
  assert worker.label_batch(started) == 1

"""The server over HTTP: labels, tokens, limits, and what it must not take."""

import datetime
import json
import struct
import types
import uuid
import zlib

import numpy as np
import pytest
import sqlalchemy as sa
from PIL import Image
from starlette import testclient

from palmjax.edge import labels, package, protocol
from palmjax.edge.server import app, database, limits, service, tokens, worker
from tests.edge import served


@pytest.fixture(scope='module')
def export(tmp_path_factory):
  return served.network(tmp_path_factory.mktemp('network'))


@pytest.fixture(scope='module')
def server(tmp_path_factory, export):
  """A running server on SQLite, its administrator, and a client."""
  started, token = served.start(
    tmp_path_factory.mktemp('server'),
    export,
    limits=service.Limits(rate=1e6, burst=1e6, waiting=50),
  )
  with testclient.TestClient(app.create(started)) as client:
    yield types.SimpleNamespace(
      service=started, client=client, admin=served.bearer(token)
    )


@pytest.fixture
def device(server):
  return served.add_device(server.service)


def new():
  return str(uuid.uuid4())


def all_labels(server, device, count=1):
  def read():
    started = server.client.get('/v1/labels', headers=device).json()
    return started if len(started) >= count else None

  return served.wait_for(read)


def enrol(server, device, seed):
  name = new()
  answer = server.client.put(
    f'/v1/references/{name}', content=served.png(seed), headers=device
  )
  assert answer.status_code == 201
  return name


def test_a_sample_gets_the_label_of_the_teacher(server, device):
  """S4; soft and hard label by hand, and the image is then erased."""
  names = sorted([enrol(server, device, 1), enrol(server, device, 2)])
  sample, content = new(), served.png(3)
  path = f'/v1/samples/{sample}'
  answer = server.client.put(path, content=content, headers=device)
  assert answer.status_code == 202
  (label,) = all_labels(server, device)
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
    f'/v1/samples/{new()}', content=served.png(4), headers=device
  )
  (label,) = all_labels(server, device)
  assert (label['reference'], label['soft']) == (None, [])


def test_requests_that_come_twice_or_late_make_nothing_new(server, device):
  name, content = new(), served.png(5)
  path = f'/v1/samples/{name}'
  put = server.client.put
  assert put(path, content=content, headers=device).status_code == 202
  assert put(path, content=content, headers=device).status_code == 200
  other = put(path, content=served.png(6), headers=device)
  assert other.status_code == 409
  assert 'another image has this id' in other.json()['detail']
  all_labels(server, device)
  assert server.client.delete(path, headers=device).status_code == 204
  assert server.client.delete(path, headers=device).status_code == 204
  # Replayed after the deletion: it stays deleted.
  assert put(path, content=content, headers=device).status_code == 200
  assert server.client.get('/v1/labels', headers=device).json() == []
  # The deletion overtook the upload.
  late = f'/v1/samples/{new()}'
  assert server.client.delete(late, headers=device).status_code == 204
  assert put(late, content=content, headers=device).status_code == 200
  assert server.client.get('/v1/labels', headers=device).json() == []


def test_who_is_forgotten_is_in_no_label(server, device):
  one, two = enrol(server, device, 7), enrol(server, device, 8)
  server.client.put(
    f'/v1/samples/{new()}', content=served.png(7), headers=device
  )
  (before,) = all_labels(server, device)
  assert len(before['soft']) == 2
  path = f'/v1/references/{one}'
  assert server.client.delete(path, headers=device).status_code == 204
  (label,) = all_labels(server, device)
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
  name, path = new(), None
  path = f'/v1/samples/{name}'
  server.client.put(path, content=served.png(9), headers=device)
  all_labels(server, device)
  assert server.client.get('/v1/labels', headers=other).json() == []
  # The same id is another sample there; its deletion deletes nothing here.
  assert server.client.delete(path, headers=other).status_code == 204
  assert len(server.client.get('/v1/labels', headers=device).json()) == 1


def _device_row(server, headers):
  value = tokens.hash_of(headers['Authorization'].removeprefix('Bearer '))
  return sa.select(database.DeviceRow).where(
    database.DeviceRow.token_hash == value
  )


@pytest.mark.parametrize(
  'headers, words',
  [
    ({}, 'send the token'),
    ({'Authorization': 'Bearer palm_wrong'}, 'unknown'),
    ({'Authorization': 'Basic cGFsbTpwYWxt'}, 'send the token'),
    ({'Authorization': "Bearer ' OR 1=1 --"}, 'unknown'),
  ],
)
def test_no_token_and_wrong_ones(server, headers, words):
  answer = server.client.get('/v1/labels', headers=headers)
  assert answer.status_code == 401
  assert words in answer.json()['detail']
  assert answer.headers['WWW-Authenticate'] == 'Bearer'


def test_expired_and_revoked_tokens(server, device):
  with database.session(server.service.engine) as session:
    row = session.scalar(_device_row(server, device))
    row.expires = database.now() - datetime.timedelta(seconds=1)
  answer = server.client.get('/v1/labels', headers=device)
  assert answer.status_code == 401
  assert 'expired' in answer.json()['detail']
  with database.session(server.service.engine) as session:
    row = session.scalar(_device_row(server, device))
    row.expires = database.now() + datetime.timedelta(days=1)
    name = row.id
  answer = server.client.delete(f'/v1/devices/{name}', headers=server.admin)
  assert answer.status_code == 204
  answer = server.client.get('/v1/labels', headers=device)
  assert answer.status_code == 401
  assert 'revoked' in answer.json()['detail']


def test_tokens_are_rotated_and_old_ones_end(server, device):
  answer = server.client.post('/v1/token/rotate', headers=device)
  fresh = served.bearer(answer.json()['token'])
  get = server.client.get
  # The answer may be lost, so the old one is good for a while.
  assert get('/v1/labels', headers=device).status_code == 200
  assert get('/v1/labels', headers=fresh).status_code == 200
  with database.session(server.service.engine) as session:
    row = session.scalar(_device_row(server, fresh))
    row.old_expires = database.now()
    name = row.id
  assert get('/v1/labels', headers=device).status_code == 401
  answer = server.client.post(
    f'/v1/devices/{name}/rotate', headers=server.admin
  )
  assert get('/v1/labels', headers=fresh).status_code == 401
  again = served.bearer(answer.json()['token'])
  assert get('/v1/labels', headers=again).status_code == 200


def test_a_token_is_nowhere_in_the_database(server):
  token = server.admin['Authorization'].removeprefix('Bearer ')
  with database.session(server.service.engine) as session:
    values = session.scalars(sa.select(database.SettingRow.value)).all()
  assert tokens.hash_of(token) in values
  assert token not in values


def _claiming(width, height):
  """A PNG that claims a size, and holds almost nothing."""

  def chunk(kind, data):
    return (
      struct.pack('>I', len(data))
      + kind
      + data
      + struct.pack('>I', zlib.crc32(kind + data))
    )

  head = struct.pack('>IIBBBBB', width, height, 8, 2, 0, 0, 0)
  return (
    b'\x89PNG\r\n\x1a\n'
    + chunk(b'IHDR', head)
    + chunk(b'IDAT', zlib.compress(bytes(1000)))
    + chunk(b'IEND', b'')
  )


@pytest.mark.parametrize(
  'content, status, words',
  [
    (b'', 415, 'cannot identify|empty'),
    (b'<script>alert(1)</script>', 415, 'cannot identify'),
    (b'GIF89a' + bytes(100), 415, 'cannot identify'),
    (served.png(1)[:20], 415, ''),
    (_claiming(60_000, 60_000), 415, 'megapixels'),
    (_claiming(4_000, 2_000), 415, 'more than 4000000'),
    (served.png(1, size=16), 415, 'needs 32 a side'),
    (bytes(protocol.MOST_BYTES + 1), 413, 'at most'),
  ],
)
def test_uploads_that_are_no_palms(server, device, content, status, words):
  for kind in ('samples', 'references'):
    answer = server.client.put(
      f'/v1/{kind}/{new()}', content=content, headers=device
    )
    assert answer.status_code == status, answer.text
    assert '\n' not in answer.json()['detail']
  assert any(word in answer.json()['detail'] for word in words.split('|'))


def test_an_image_that_breaks_off_gets_no_label_and_stops_nobody(
  server, device
):
  whole = served.png(11, size=64)
  cut = whole[: len(whole) // 2]
  for content in (cut, whole):
    server.client.put(f'/v1/samples/{new()}', content=content, headers=device)
  assert len(all_labels(server, device, 2)) == 2


@pytest.mark.parametrize(
  'path',
  [
    '/v1/samples/..%2f..%2fetc%2fpasswd',
    '/v1/samples/not-a-uuid',
    '/v1/packages/..%2fsigning.key',
    '/v1/packages/' + '0' * 63,
    "/v1/packages/' OR 1=1",
  ],
)
def test_paths_lead_nowhere(server, device, path):
  answer = server.client.get(path, headers=device)
  assert answer.status_code in (404, 405, 422)
  assert 'key' not in answer.text.replace(path, '')


def test_devices_get_the_signed_student(server, device, export):
  latest = server.client.get('/v1/packages/latest', headers=device).json()
  content = server.client.get(
    f'/v1/packages/{latest["digest"]}', headers=device
  ).content
  assert len(content) == latest['size']
  read = package.read(content, public_key=server.service.public_key)
  assert (read.digest, read.version) == (latest['digest'], 1)
  assert len(read.impostors) == 40
  missing = server.client.get('/v1/packages/' + '0' * 64, headers=device)
  assert missing.status_code == 404


def report(**changes):
  return {
    'student': '0' * 64,
    'version': 1,
    'kept': 3,
    'waiting': 2,
    'attempts': 5,
    'score_mean': 81.5,
    'score_std': 4.0,
    'updates': [
      {
        'at': '2026-11-29T05:00:00Z',
        'outcome': 'rolled back',
        'samples': 40,
        'fnmr_before': 0.1,
        'fnmr_after': 0.2,
      }
    ],
  } | changes


def test_reports_count_once(server, device):
  path = f'/v1/reports/{new()}'
  post = server.client.post
  assert post(path, json=report(), headers=device).status_code == 201
  assert post(path, json=report(), headers=device).status_code == 200
  other = post(path, json=report(kept=4), headers=device)
  assert other.status_code == 409


@pytest.mark.parametrize(
  'changes',
  [
    {'name': 'Ann'},
    {'score_mean': 101},
    {'kept': -1},
    {'student': 'x'},
    {'updates': [{}]},
  ],
)
def test_reports_of_another_form_are_refused(server, device, changes):
  answer = server.client.post(
    f'/v1/reports/{new()}', json=report(**changes), headers=device
  )
  assert answer.status_code == 422
  assert '\n' not in answer.json()['detail']


def test_the_page_shows_devices_to_the_administrator_alone(server):
  label = '<script>alert(1)</script>\'"; DROP TABLE device; --'
  answer = server.client.post(
    '/v1/devices', json={'label': label}, headers=server.admin
  )
  assert answer.status_code == 201
  device = served.bearer(answer.json()['token'])
  server.client.post(f'/v1/reports/{new()}', json=report(), headers=device)
  listed = server.client.get('/v1/devices', headers=server.admin).json()
  assert label in [one['label'] for one in listed]
  assert server.client.get('/v1/devices', headers=device).status_code == 401

  page = server.client.get('/')
  assert 'DROP TABLE' not in page.text
  token = server.admin['Authorization'].removeprefix('Bearer ')
  client = testclient.TestClient(server.client.app, follow_redirects=False)
  wrong = client.post('/login', data={'token': 'palm_wrong'})
  assert wrong.status_code == 401
  answer = client.post('/login', data={'token': token})
  assert answer.status_code == 303
  cookie = answer.headers['set-cookie']
  assert 'HttpOnly' in cookie
  assert 'samesite=strict' in cookie.lower()
  assert token not in cookie
  page = client.get('/').text
  assert '&lt;script&gt;alert(1)' in page
  assert '<script' not in page
  assert 'rolled back' in page
  for forged in ('9999999999.00', '9999999999', 'x.y'):
    client.cookies.clear()
    client.cookies.set('palmjax_session', forged)
    assert 'rolled back' not in client.get('/').text


def test_health_and_metrics(server, device):
  assert server.client.get('/healthz').json() == {
    'database': True,
    'teacher': True,
  }
  assert server.client.get('/metrics', headers=device).status_code == 401
  text = server.client.get('/metrics', headers=server.admin).text
  assert 'palmjax_samples_waiting 0.0' in text
  assert 'route="/v1/labels"' in text


def test_answers_are_not_kept_or_framed(server):
  headers = server.client.get('/').headers
  assert headers['Cache-Control'] == 'no-store'
  assert "default-src 'none'" in headers['Content-Security-Policy']


def test_buckets_refill():
  buckets = limits.Buckets(rate=2, burst=3)
  assert [buckets.wait('a', 0.0) for _ in range(4)] == [0, 0, 0, 1]
  assert buckets.wait('b', 0.0) == 0
  assert buckets.wait('a', 0.4) == 1
  assert buckets.wait('a', 0.6) == 0


def test_too_much_is_answered_with_a_time_to_come_again(tmp_path, export):
  started, _ = served.start(
    tmp_path, export, limits=service.Limits(rate=1, burst=3, waiting=0)
  )
  client = testclient.TestClient(app.create(started))
  device = served.add_device(started)
  full = client.put(
    f'/v1/samples/{new()}', content=served.png(1), headers=device
  )
  assert full.status_code == 503
  assert int(full.headers['Retry-After']) > 0
  statuses = [
    client.get('/v1/labels', headers=device).status_code for _ in range(4)
  ]
  assert 429 in statuses
  guesses = [client.get('/metrics').status_code for _ in range(5)]
  assert guesses[-1] == 429


def test_a_student_that_changed_is_the_next_version(tmp_path, export):
  first, token = served.start(tmp_path, export)
  again, none = served.start(tmp_path, export)
  assert token
  assert none is None
  assert first.public_key == again.public_key
  with database.session(again.engine) as session:
    assert service.latest_package(session).version == 1
  other, _ = service.start(
    folder=tmp_path,
    teacher=export,
    student=export,
    impostors=served.impostors()[1:],
    rehearsed=served.rehearsed(),
    fmr=served.FMR,
  )
  with database.session(other.engine) as session:
    assert service.latest_package(session).version == 2


def test_logs_hold_routes_and_no_content(server, device, capfd):
  name = new()
  server.client.put(
    f'/v1/samples/{name}', content=served.png(12), headers=device
  )
  server.client.get('/v1/none?name=Ann', headers=device)
  lines = [json.loads(x) for x in capfd.readouterr().err.splitlines()]
  routes = {line['route'] for line in lines if line['event'] == 'request'}
  assert {'/v1/samples/{name}', 'none'} <= routes
  text = json.dumps(lines)
  token = device['Authorization'].removeprefix('Bearer ')
  assert token not in text
  assert name not in text
  assert 'Ann' not in text


def test_images_lie_sealed(server, device, export, tmp_path):
  started, _ = served.start(tmp_path, export)
  headers = served.add_device(started)
  # Without a worker the image waits.
  client = testclient.TestClient(app.create(started))
  content = served.png(13)
  client.put(f'/v1/samples/{new()}', content=content, headers=headers)
  stored = b''.join(
    path.read_bytes() for path in tmp_path.iterdir() if path.is_file()
  )
  assert content[100:160] not in stored
  for path in tmp_path.glob('*.key'):
    assert path.stat().st_mode & 0o077 == 0
  assert worker.label_batch(started) == 1


def test_a_database_that_cannot_be_used_is_one_line(tmp_path):
  for url in ('postgresql://u:secret@127.0.0.1:1/x', 'nonsense'):
    with pytest.raises(ValueError, match='cannot be used') as caught:
      database.connect(url)
    assert 'secret' not in str(caught.value)
    assert '\n' not in str(caught.value)

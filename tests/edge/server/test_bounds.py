"""What the server reads of a request, and what it says of one it won't."""

import types
import uuid

import pytest
import sqlalchemy as sa
from starlette import testclient

from palmjax.edge import protocol
from palmjax.edge.server import app, database, service
from tests.edge import served

LARGE = b'[' * (protocol.MOST_BYTES + 1)


@pytest.fixture(scope='module')
def server(tmp_path_factory, export):
  """A server whose teacher does not work, and the headers of its device."""
  started, token = served.start(
    tmp_path_factory.mktemp('server'),
    export,
    limits=service.Limits(rate=1e6, burst=1e6),
  )
  return types.SimpleNamespace(
    service=started,
    client=testclient.TestClient(app.create(started)),
    admin=served.bearer(token),
    device=served.add_device(started),
  )


def path(kind):
  return f'/v1/{kind}/{uuid.uuid4()}'


@pytest.mark.parametrize(
  'method, kind',
  [('POST', 'reports'), ('PUT', 'samples'), ('DELETE', 'samples')],
)
def test_a_large_body_is_refused_unread_whoever_sends_it(server, method, kind):
  for headers in ({}, server.device):
    answer = server.client.request(
      method, path(kind), content=LARGE, headers=headers
    )
    assert answer.status_code == 413
    assert 'at most' in answer.json()['detail']


def test_a_body_tells_its_length_first(server):
  answer = server.client.post(
    path('reports'), content=iter([b'{', b'}']), headers=server.device
  )
  assert answer.status_code == 411
  assert 'Content-Length' in answer.json()['detail']


@pytest.mark.parametrize('content', [b'\xff', b'[' * 200_000])
def test_a_body_that_is_no_json_is_refused(server, content):
  headers = {**server.device, 'Content-Type': 'application/json'}
  answer = server.client.post(path('reports'), content=content, headers=headers)
  assert answer.status_code in (400, 422)
  assert '\n' not in answer.json()['detail']


@pytest.mark.parametrize(
  'changes',
  [
    {'kept': True},
    {'kept': '3'},
    {'score_mean': False},
    {'version': '1'},
    {'updates': [served.update('taken', fnmr_after=True)]},
    {'updates': [served.update('taken', at=1_700_000_000)]},
    {'updates': [served.update('taken', at='2026-11-29T05:00:00')]},
  ],
)
def test_flags_and_texts_are_no_numbers_and_numbers_no_times(server, changes):
  answer = server.client.post(
    path('reports'), json=served.report(**changes), headers=server.device
  )
  assert answer.status_code == 422


def test_a_whole_number_may_have_a_point(server):
  answer = server.client.post(
    path('reports'),
    json=served.report(kept=3.0),
    headers=server.device,
  )
  assert answer.status_code == 201


@pytest.mark.parametrize('query', ['limit=0', 'limit=1001', 'limits=5', 'x'])
def test_queries_of_another_form_are_refused(server, query):
  answer = server.client.get(f'/v1/labels?{query}', headers=server.device)
  assert answer.status_code == 422
  assert '\n' not in answer.json()['detail']


@pytest.mark.parametrize(
  'address, allowed',
  [
    ('/v1/devices', {'GET', 'POST'}),
    (f'/v1/samples/{uuid.UUID(int=1)}', {'PUT', 'DELETE'}),
    ('/healthz', {'GET'}),
    ('/login', {'POST'}),
  ],
)
def test_another_method_is_told_those_that_there_are(server, address, allowed):
  answer = server.client.patch(address, headers=server.device)
  assert answer.status_code == 405
  assert {*answer.headers['Allow'].split(', ')} == allowed


def test_methods_of_any_name_are_one_row_of_the_metrics(server, capfd):
  for number in range(3):
    server.client.request(f'ANN{number}', '/healthz')
  metrics = server.client.get('/metrics', headers=server.admin).text
  assert 'method="other"' in metrics
  assert 'ANN' not in metrics
  assert 'ANN' not in capfd.readouterr().err


def rotate(server, headers):
  answer = server.client.post('/v1/token/rotate', headers=headers)
  assert answer.status_code == 200
  return served.bearer(answer.json()['token'])


def test_a_token_is_rotated_though_answers_are_lost(server):
  """The device asks with its old token until an answer reaches it."""
  old = served.add_device(server.service, 'gate')
  lost = [rotate(server, old) for _ in range(3)]
  fresh = rotate(server, old)
  get = server.client.get
  assert get('/v1/labels', headers=fresh).status_code == 200
  for headers in lost:
    assert get('/v1/labels', headers=headers).status_code == 401
  # Asking again does not make the old one good for longer.
  table = database.DeviceRow
  with database.session(server.service.engine) as session:
    row = session.scalar(sa.select(table).where(table.label == 'gate'))
    ends = row.old_expires
  rotate(server, old)
  with database.session(server.service.engine) as session:
    assert session.get(table, row.id).old_expires == ends
    session.get(table, row.id).old_expires = database.now()
  assert get('/v1/labels', headers=old).status_code == 401

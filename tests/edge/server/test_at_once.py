"""Requests that come at the same time, on SQLite and on PostgreSQL."""

import threading
import types
import uuid

import pytest
import sqlalchemy as sa
from starlette import testclient

from palmjax.edge.server import app, database, service, worker
from tests.edge import served

AT_ONCE, TIMES = 8, 12
TABLES = {'samples': database.SampleRow, 'references': database.ReferenceRow}


@pytest.fixture(
  scope='module',
  params=['sqlite', pytest.param('postgresql', marks=pytest.mark.slow)],
)
def server(request, tmp_path_factory, export):
  """A server whose teacher does not work."""
  url = (
    request.getfixturevalue('postgres')
    if request.param == 'postgresql'
    else None
  )
  started, token = served.start(
    tmp_path_factory.mktemp('server'),
    export,
    database_url=url,
    limits=service.Limits(rate=1e6, burst=1e6),
  )
  yield types.SimpleNamespace(
    service=started,
    client=testclient.TestClient(app.create(started)),
    admin=served.bearer(token),
  )
  started.engine.dispose()


def answers(server, requests):
  """Statuses of requests [(method, path, options)] that are sent at once."""
  barrier = threading.Barrier(len(requests))
  statuses = [None] * len(requests)

  def send(number, method, path, options):
    barrier.wait()
    answer = server.client.request(method, path, **options)
    statuses[number] = answer.status_code

  threads = [
    threading.Thread(target=send, args=[number, *one])
    for number, one in enumerate(requests)
  ]
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join()
  return statuses


@pytest.mark.parametrize('kind', ['samples', 'references'])
def test_the_same_upload_counts_once(server, device, kind):
  new = {'samples': 202, 'references': 201}[kind]
  for seed in range(TIMES):
    path = f'/v1/{kind}/{served.new_id()}'
    put = ('PUT', path, {'content': served.png(seed), 'headers': device})
    statuses = answers(server, [put] * AT_ONCE)
    assert sorted(statuses) == [200] * (AT_ONCE - 1) + [new]


def test_of_two_images_under_one_id_one_is_taken(server, device):
  for _ in range(TIMES):
    path = f'/v1/samples/{served.new_id()}'
    statuses = answers(
      server,
      [
        ('PUT', path, {'content': served.png(seed), 'headers': device})
        for seed in range(AT_ONCE)
      ],
    )
    assert sorted(statuses) == [202] + [409] * (AT_ONCE - 1)


@pytest.mark.parametrize('kind', ['samples', 'references'])
def test_an_upload_and_its_deletion(server, device, kind):
  """Whichever comes first, nothing is there in the end."""
  for seed in range(TIMES):
    name = served.new_id()
    path = f'/v1/{kind}/{name}'
    put = ('PUT', path, {'content': served.png(seed), 'headers': device})
    delete = ('DELETE', path, {'headers': device})
    statuses = answers(server, [put, delete] * (AT_ONCE // 2))
    assert set(statuses[1::2]) == {204}
    assert set(statuses[::2]) <= {200, 201, 202}
    with database.session(server.service.engine) as session:
      row = session.scalars(
        sa.select(TABLES[kind]).where(TABLES[kind].id == uuid.UUID(name))
      ).one()
    assert (row.state, row.image) == (database.DELETED, None)


def test_the_same_report_counts_once(server, device):
  for _ in range(TIMES):
    path = f'/v1/reports/{served.new_id()}'
    post = ('POST', path, {'json': served.report(), 'headers': device})
    statuses = answers(server, [post] * AT_ONCE)
    assert sorted(statuses) == [200] * (AT_ONCE - 1) + [201]


def test_all_who_are_forgotten_are_in_no_label(server, device):
  """Each deletion changes the same label."""
  for _ in range(TIMES):
    names = [served.enrol(server, device, seed) for seed in range(AT_ONCE)]
    path = f'/v1/samples/{served.new_id()}'
    content = served.png(1)
    server.client.put(path, content=content, headers=device)
    while worker.label_batch(server.service):
      pass
    (label,) = server.client.get('/v1/labels', headers=device).json()
    assert len(label['soft']) == AT_ONCE
    statuses = answers(
      server,
      [
        ('DELETE', f'/v1/references/{name}', {'headers': device})
        for name in names
      ],
    )
    assert set(statuses) == {204}
    (label,) = server.client.get('/v1/labels', headers=device).json()
    assert (label['reference'], label['soft']) == (None, [])
    server.client.delete(path, headers=device)


def test_of_equal_labels_one_is_given(server):
  for number in range(TIMES):
    post = (
      'POST',
      '/v1/devices',
      {'json': {'label': f'door {number}'}, 'headers': server.admin},
    )
    statuses = answers(server, [post] * AT_ONCE)
    assert sorted(statuses) == [201] + [409] * (AT_ONCE - 1)

"""The outbox: sent again until acknowledged, and never twice in effect."""

import contextlib
import dataclasses
import json

import httpx
import pytest
import sqlalchemy as sa

from palmjax.edge import package
from palmjax.edge.device import (
  capture,
  client,
  joining,
  learning,
  models,
  people,
  store,
  sync,
  tables,
)
from tests.edge import devices

SETTINGS = capture.KeepingRules(failures=1, ask=1, interval=(0.0, 0.9999))
TOKEN = 'palm_' + 'x' * 43
FAST = {(0, 'cut before'), (4, 'cut after')}


@pytest.fixture
def device(device):
  """Ann is enrolled, and a stranger came."""
  devices.enrol(device, 'Ann', devices.palm(1))
  devices.identify(device, devices.stranger(device, devices.palm(1)), SETTINGS)
  return device


class FakeServer:
  """What the server's API says, in memory; some requests fail as scripted."""

  def __init__(self, content, script=()):
    self.content, self.script = content, list(script)
    self.references, self.samples, self.reports = {}, {}, {}
    self.requests, self.pauses = [], []

  def handle(self, request):
    path = request.url.path
    self.requests.append((request.method, path))
    assert request.headers['Authorization'] == f'Bearer {TOKEN}'
    todo = self.script.pop(0) if self.script else None
    if todo == 'cut before':
      raise httpx.ConnectError('no route')
    answer = self.answer(request, path)
    if todo == 'cut after':
      raise httpx.ReadError('the answer is lost')
    return todo or answer

  def answer(self, request, path):
    kind, _, name = path.removeprefix('/v1/').partition('/')
    if path == '/v1/packages/latest':
      return httpx.Response(
        200,
        json={
          'digest': package.digest_of(self.content),
          'version': 1,
          'size': len(self.content),
        },
      )
    if kind == 'packages':
      return httpx.Response(200, content=self.content)
    if path == '/v1/labels':
      return httpx.Response(200, json=[self.label(x) for x in self.samples])
    table = getattr(self, kind)
    if request.method == 'DELETE':
      table.pop(name, None)
      return httpx.Response(204)
    new = name not in table
    table[name] = request.content
    return httpx.Response(201 if new else 200, json={})

  def label(self, sample):
    best = next(iter(self.references))
    return {
      'sample': sample,
      'reference': best,
      'confidence': 1.0,
      'soft': [{'reference': best, 'probability': 1.0}],
    }

  def client(self):
    return client.Server(
      'http://server',
      TOKEN,
      transport=httpx.MockTransport(self.handle),
      sleep=self.pauses.append,
    )


def run(device, server, settings=SETTINGS, now=0.0):
  public = package.public_text(devices.KEY)
  return sync.run(device, server.client(), public, settings, now)


def waiting(device):
  with device.session() as session:
    return session.scalar(
      sa.select(sa.func.count()).select_from(tables.Outgoing)
    )


def test_a_sample_goes_out_and_its_label_comes_back(device, content):
  """S4, claims 5b and 5c."""
  server = FakeServer(content)
  done = run(device, server)
  assert (done['asked'], done['labels'], done['student']) == (1, 1, False)
  assert len(server.references) == 1
  assert server.samples == {}  # Deleted once the label was stored.
  assert waiting(device) == 0
  with device.session() as session:
    (row,) = session.scalars(sa.select(tables.KeptSample)).all()
    soft = json.loads(device.open(row, 'soft'))
    assert people.users(device, session)[row.user] == 'Ann'
  assert (row.state, row.kind) == (tables.USABLE, tables.SECOND)
  assert soft == {row.user: 1.0}
  assert b'Ann' not in b''.join(server.references.values())
  again = run(device, server)
  assert (again['asked'], again['labels'], again['sent']) == (0, 0, 0)


def test_few_failures_wait_until_nobody_uses_the_device(device, content):
  """Claim 5b."""
  server, settings = FakeServer(content), dataclasses.replace(SETTINGS, ask=2)
  assert run(device, server, settings, 59.0)['asked'] == 0
  assert run(device, server, settings, 121.0)['asked'] == 1


@pytest.mark.parametrize(
  'moment, cut',
  [
    pytest.param(
      moment,
      cut,
      # One of each kind in the fast suite.
      marks=[] if (moment, cut) in FAST else [pytest.mark.slow],
    )
    for moment in range(7)
    for cut in ('cut before', 'cut after')
  ],
)
def test_a_network_that_is_cut_loses_and_doubles_nothing(
  device, content, moment, cut
):
  """At each request, for as long as one sync tries; the next one goes on."""
  server = FakeServer(content, [None] * moment + [cut] * 5)
  with contextlib.suppress(client.UnreachableError):
    run(device, server)
  server.script.clear()
  run(device, server)
  assert waiting(device) == 0
  assert len(server.references) == 1
  assert server.samples == {}
  with device.session() as session:
    rows = session.scalars(sa.select(tables.KeptSample)).all()
  assert [row.state for row in rows] == [tables.USABLE]


def test_a_busy_server_is_asked_again_when_it_says(device, content):
  busy = httpx.Response(503, headers={'Retry-After': '7'})
  server = FakeServer(content, [busy, httpx.Response(429), None])
  run(device, server)
  assert len(server.pauses) == 2
  assert server.pauses[0] == 7
  assert 0 < server.pauses[1] <= 2


def test_a_request_that_is_refused_does_not_stop_the_others(device, content):
  server = FakeServer(content, [None, httpx.Response(415)])
  done = run(device, server)
  assert done['refused'] == 1
  assert waiting(device) == 0


def test_a_token_that_is_not_good_is_one_line(device, content):
  refused = httpx.Response(401, json={'detail': 'the token was revoked'})
  server = FakeServer(content, [refused])
  with pytest.raises(
    client.DeniedError, match=r'was revoked; ask .* run join CODE'
  ):
    run(device, server)
  assert len(server.requests) == 1
  assert waiting(device) == 1


def test_who_joins_again_as_a_new_device_sends_all_again(device, content):
  """The new entry on the server knows nothing of the old one."""
  public = package.public_text(devices.KEY)

  def join(letter):
    code = f'palm_{letter * 43}.{public}'
    joining.keep(device, joining.read_code(device, code))

  join('x')
  assert waiting(device) == 1  # Ann waits already, and once.
  server = FakeServer(content)
  answer = server.answer

  def without_labels(request, path):
    if path == '/v1/labels':
      return httpx.Response(200, json=[])
    return answer(request, path)

  server.answer = without_labels
  run(device, server)
  old = server.references, server.samples
  assert list(map(len, old)) == [1, 1]
  server.references, server.samples = {}, {}
  join('x')
  run(device, server)
  assert (server.references, server.samples) == ({}, {})
  join('y')
  join('z')
  assert waiting(device) == 1
  run(device, server)
  assert (server.references, server.samples) == old


def test_strangers_and_the_forgotten_get_no_label(device, content):
  server = FakeServer(content)
  server.label = lambda sample: {
    'sample': sample,
    'reference': None,
    'confidence': 0.4,
    'soft': [],
  }
  run(device, server)
  with device.session() as session:
    assert session.scalars(sa.select(tables.KeptSample)).all() == []
  # A label of a sample that is gone changes nothing.
  with device.session() as session:
    people.forget(device, session, 'Ann')
  run(device, server)
  assert server.references == {}


def test_who_is_forgotten_while_the_last_request_is_sent_is_deleted(
  device, content
):
  """Requests that come meanwhile are sent, whatever was removed."""
  server = FakeServer(content)
  answer = server.answer

  def forget(request, path):
    if request.method == 'PUT' and 'samples' in path:
      with device.session() as session:
        people.forget(device, session, 'Ann')
    return answer(request, path)

  server.answer = forget
  run(device, server)
  assert waiting(device) == 0
  assert (server.references, server.samples) == ({}, {})


def test_reports_tell_what_happened_and_no_names(device, content):
  server = FakeServer(content)
  devices.identify(device, devices.palm(1), SETTINGS)
  with device.session() as session:
    session.add(
      tables.Trial(
        at='2026-11-29T00:00:00+00:00',
        outcome='refused',
        samples=4,
        before=0.1,
        after=0.2,
      )
    )
  run(device, server)
  ((_, body),) = server.reports.items()
  report = json.loads(body)
  assert (report['attempts'], report['version']) == (1, 1)
  assert report['score_mean'] == pytest.approx(100, abs=1e-3)
  assert report['updates'][0]['outcome'] == 'refused'
  assert b'Ann' not in body
  run(device, server)
  assert len(server.reports) == 1  # Nothing new.


def test_the_report_counts_samples_as_the_labels_leave_them(device, content):
  server = FakeServer(content)
  devices.identify(device, devices.palm(1), SETTINGS)
  run(device, server)
  ((_, body),) = server.reports.items()
  report = json.loads(body)
  assert (report['kept'], report['waiting']) == (1, 0)


def test_a_package_of_another_server_is_not_installed(tmp_path, content):
  device = store.open_(tmp_path / 'palm.db')
  other = package.public_text(package.load_private(bytes(32)))
  with pytest.raises(package.PackageError, match='not signed by the server'):
    sync.run(device, FakeServer(content).client(), other, SETTINGS, 0.0)
  assert models.current(device.folder) is None
  run(device, FakeServer(content))
  assert learning.known_version(device) == 1

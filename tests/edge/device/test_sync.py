"""The outbox: sent again until acknowledged, and never twice in effect."""

import contextlib
import dataclasses
import json

import httpx
import pytest
import sqlalchemy as sa

from palmjax.edge import package
from palmjax.edge.device import client, joining, people, tables
from tests.edge import devices

pytestmark = pytest.mark.usefixtures('stranger_came')

FAST = {(0, 'cut before'), (4, 'cut after')}


def waiting(device):
  with device.session() as session:
    return session.scalar(
      sa.select(sa.func.count()).select_from(tables.Outgoing)
    )


def test_a_sample_goes_out_and_its_label_comes_back(device, content):
  """S4, claims 5b and 5c."""
  server = devices.FakeServer(content)
  done = devices.sync_with(device, server)
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
  again = devices.sync_with(device, server)
  assert (again['asked'], again['labels'], again['sent']) == (0, 0, 0)


def test_few_failures_wait_until_nobody_uses_the_device(device, content):
  """Claim 5b."""
  server = devices.FakeServer(content)
  settings = dataclasses.replace(devices.ASKING, ask=2)
  assert devices.sync_with(device, server, settings, 59.0)['asked'] == 0
  assert devices.sync_with(device, server, settings, 121.0)['asked'] == 1


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
  server = devices.FakeServer(content, [None] * moment + [cut] * 5)
  with contextlib.suppress(client.UnreachableError):
    devices.sync_with(device, server)
  server.script.clear()
  devices.sync_with(device, server)
  assert waiting(device) == 0
  assert len(server.references) == 1
  assert server.samples == {}
  with device.session() as session:
    rows = session.scalars(sa.select(tables.KeptSample)).all()
  assert [row.state for row in rows] == [tables.USABLE]


def test_a_busy_server_is_asked_again_when_it_says(device, content):
  busy = httpx.Response(503, headers={'Retry-After': '7'})
  server = devices.FakeServer(content, [busy, httpx.Response(429), None])
  devices.sync_with(device, server)
  assert len(server.pauses) == 2
  assert server.pauses[0] == 7
  assert 0 < server.pauses[1] <= 2


def test_a_request_that_is_refused_does_not_stop_the_others(device, content):
  server = devices.FakeServer(content, [None, httpx.Response(415)])
  done = devices.sync_with(device, server)
  assert done['refused'] == 1
  assert waiting(device) == 0


def test_a_token_that_is_not_good_is_one_line(device, content):
  refused = httpx.Response(401, json={'detail': 'the token was revoked'})
  server = devices.FakeServer(content, [refused])
  with pytest.raises(
    client.DeniedError, match=r'was revoked; ask .* run join CODE'
  ):
    devices.sync_with(device, server)
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
  server = devices.FakeServer(content)
  answer = server.answer

  def without_labels(request, path):
    if path == '/v1/labels':
      return httpx.Response(200, json=[])
    return answer(request, path)

  server.answer = without_labels
  devices.sync_with(device, server)
  old = server.references, server.samples
  assert list(map(len, old)) == [1, 1]
  server.references, server.samples = {}, {}
  join('x')
  devices.sync_with(device, server)
  assert (server.references, server.samples) == ({}, {})
  join('y')
  join('z')
  assert waiting(device) == 1
  devices.sync_with(device, server)
  assert (server.references, server.samples) == old


def test_strangers_and_the_forgotten_get_no_label(device, content):
  server = devices.FakeServer(content)
  server.label = lambda sample: {
    'sample': sample,
    'reference': None,
    'confidence': 0.4,
    'soft': [],
  }
  devices.sync_with(device, server)
  with device.session() as session:
    assert session.scalars(sa.select(tables.KeptSample)).all() == []
  # A label of a sample that is gone changes nothing.
  with device.session() as session:
    people.forget(device, session, 'Ann')
  devices.sync_with(device, server)
  assert server.references == {}


def test_who_is_forgotten_while_the_last_request_is_sent_is_deleted(
  device, content
):
  """Requests that come meanwhile are sent, whatever was removed."""
  server = devices.FakeServer(content)
  answer = server.answer

  def forget(request, path):
    if request.method == 'PUT' and 'samples' in path:
      with device.session() as session:
        people.forget(device, session, 'Ann')
    return answer(request, path)

  server.answer = forget
  devices.sync_with(device, server)
  assert waiting(device) == 0
  assert (server.references, server.samples) == ({}, {})

"""Real processes: a server, two devices, kills and a network that is cut."""

import re
import subprocess
import time

import pytest
import sqlalchemy as sa

from palmjax.edge.device import tables
from palmjax.edge.server import database
from tests.edge import served
from tests.edge import world as worlds

pytestmark = pytest.mark.slow  # 200 identifications on two devices.


@pytest.mark.parametrize('kind', ['sqlite', 'postgresql'])
def test_two_devices_and_a_server_that_is_killed(kind, tmp_path, request):
  """Nothing is lost and nothing doubled."""
  url = request.getfixturevalue('postgres') if kind == 'postgresql' else None
  world = worlds.World(tmp_path, url)
  request.addfinalizer(world.kill)
  codes = {name: world.join_code(name) for name in ('one', 'two')}
  world.start()
  for name, first in (('one', 10), ('two', 30)):
    world.join(name, codes[name], first)
    images = worlds.photograph(tmp_path, name, first)
    said = world.device(
      name, '--failures=1', 'run', images, '--once'
    ).splitlines()
    assert len(said) == worlds.CAPTURES
  asked = {}
  for name in codes:
    device = world.open(name)
    with device.session() as session:
      asked[name] = set(
        session.scalars(
          sa.select(tables.KeptSample.id).where(
            tables.KeptSample.state == tables.WAITING
          )
        )
      )
  assert all(asked.values())

  # The server is killed while a device sends, and comes back.
  sender = subprocess.Popen(
    world.device_command('one', '--ask=1', 'sync'),
    cwd=worlds.ROOT,
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
  )
  log = tmp_path / 'server.log'
  served.wait_for(lambda: 'PUT' in log.read_text(), seconds=120)
  world.kill()
  # The network is cut for the other one.
  world.device('two', '--ask=1', 'sync', code=3)
  world.start()
  sender.communicate(timeout=300)
  for name in codes:
    for _ in range(20):
      world.device(name, '--ask=1', 'sync')
      device = world.open(name)
      with device.session() as session:
        left = session.scalar(
          sa.select(sa.func.count())
          .select_from(tables.KeptSample)
          .where(tables.KeptSample.state == tables.WAITING)
        )
      if not left:
        break
      time.sleep(0.5)
    assert not left
    with device.session() as session:
      assert not session.scalars(sa.select(tables.Outgoing)).all()
  engine = database.connect(
    url or f'sqlite:///{tmp_path / "server" / "server.db"}'
  )
  with database.session(engine) as session:
    kept = session.scalars(sa.select(database.SampleRow)).all()
    references = session.scalars(sa.select(database.ReferenceRow)).all()
    reports = session.scalars(sa.select(database.ReportRow)).all()
  # Each sample came once and was deleted after its label was stored.
  assert {str(row.id) for row in kept} == asked['one'] | asked['two']
  assert {row.state for row in kept} == {database.DELETED}
  assert all(row.image is None and row.label is None for row in kept)
  assert len(references) == 2 * 2 * worlds.PEOPLE
  assert all(row.embedding for row in references)
  assert reports
  assert b'Person' not in log.read_bytes()

  # A device is killed while it learns; the next start is whole.
  learner = subprocess.Popen(
    world.device_command('one', 'update', '--now'),
    cwd=worlds.ROOT,
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
  )
  time.sleep(6)
  learner.kill()
  learner.wait()
  probe = tmp_path / 'one_0_0.png'
  said = world.device('one', 'identify', probe)
  assert said.startswith('Person 0 (score 100')
  said = world.device('one', 'update', '--now')
  assert re.match('(not )?taken: ', said)
  if said.startswith('taken'):
    assert world.device('one', 'rollback').startswith('rolled back')
  assert world.device('one', 'identify', probe).startswith('Person 0')
  world.device('one', 'sync')
  world.device('one', 'forget', 'Person 0')
  world.device('one', 'sync')
  with database.session(engine) as session:
    gone = session.scalars(
      sa.select(database.ReferenceRow).where(
        database.ReferenceRow.state == database.DELETED
      )
    ).all()
  assert len(gone) == 2

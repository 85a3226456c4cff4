"""Devices as processes: a clock that is set back, and a disk that is full.

All devices see the same captures. The first one has a sound clock and room.
"""

import os
import sys

import pytest
import sqlalchemy as sa

from palmjax.edge.device import store, tables
from tests.edge import world as worlds

pytestmark = pytest.mark.slow

# The command of a device, whose clock was set back by 30 days.
_BACK = """
import runpy, sys, time
now = time.time
time.time = lambda: now() - 30 * 24 * 3600
sys.argv = ['device', *sys.argv[1:]]
runpy.run_module('palmjax.edge.device', run_name='__main__', alter_sys=True)
"""


@pytest.fixture(scope='module')
def world(tmp_path_factory):
  """A server, and devices with the same people and captures."""
  made = worlds.World(tmp_path_factory.mktemp('world'), None)
  names = 'sound', 'back', 'full'
  codes = {name: made.join_code(name) for name in names}
  made.start()
  for name in names:
    made.join(name, codes[name], first=10)
  made.images = worlds.photograph(made.folder, 'all', 10)
  made.said = run(made, 'sound')
  yield made
  made.kill()


def run(world, name):
  return world.device(name, '--failures=1', 'run', world.images, '--once')


def kept(world, name):
  """(Samples that a device holds, seconds that it believes have passed)."""
  device = world.open(name)
  with device.session() as session:
    rows = session.execute(
      sa.select(
        tables.KeptSample.kind, sa.func.round(tables.KeptSample.score, 3)
      )
    ).all()
    return sorted(map(tuple, rows)), store.tick(device, session, 0.0)


def test_a_clock_that_is_set_back_changes_no_decision(world):
  command = world.device_command('back', '--failures=1', 'run', world.images)
  command = [sys.executable, '-c', _BACK, *command[3:], '--once']
  assert world.run(command) == world.said
  assert len(world.said.splitlines()) == worlds.CAPTURES
  (samples, _), (same, elapsed) = kept(world, 'sound'), kept(world, 'back')
  assert samples
  assert same == samples
  # It counted as no time.
  assert 0 <= elapsed < 24 * 3600


def test_a_full_disk_keeps_what_was_and_goes_on_later(world):
  # No file of the process may grow beyond this: as with a full disk, a write
  # of the store fails in the middle of the captures.
  room = os.path.getsize(f'{world.folder / "full"}.db') + 64 * 1024
  command = world.device_command(
    'full', '--no-cache', '--failures=1', 'run', world.images, '--once'
  )
  limit = f'ulimit -f {room // 1024}; exec "$0" "$@"'
  full = world.finish(['bash', '-c', limit, *command])
  assert full.returncode == 1, full.stdout + full.stderr
  assert 'make room on the disk' in full.stderr.splitlines()[-1]
  done = [line.partition(':')[0] for line in full.stdout.splitlines()]
  # The last one was read, and nothing was decided.
  assert 1 < len(done) < worlds.CAPTURES
  for name in done[:-1]:
    (world.images / name).unlink()
  run(world, 'full')
  assert kept(world, 'full')[0] == kept(world, 'sound')[0]

"""Real processes: a server, two devices, kills and a network that is cut."""

import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import time

import httpx
import pytest
import sqlalchemy as sa
from PIL import Image

from palmjax.edge.device import store, tables
from palmjax.edge.server import database
from tests.edge import devices, served
from tests.networks import small_exits

pytestmark = pytest.mark.slow
ROOT = pathlib.Path(__file__).parents[2]
PEOPLE, CAPTURES = 5, 100  # 200 identifications on two devices.


def free_port():
  with socket.socket() as one:
    one.bind(('127.0.0.1', 0))
    return one.getsockname()[1]


class World:
  """A server and devices, each a process, in one folder."""

  def __init__(self, folder, url):
    self.folder, self.url, self.port = folder, url, free_port()
    self.address = f'http://127.0.0.1:{self.port}'
    small_exits.save(folder / 'network', small_exits.variables())
    (folder / 'impostors').mkdir()
    for i in range(40):
      image = Image.fromarray(served.palm(1000 + i, size=48))
      image.save(folder / 'impostors' / f'{i}.png')
    self.process = None

  def command(self, module, *args):
    return [sys.executable, '-m', f'palmjax.edge.{module}', *map(str, args)]

  def server_args(self):
    args = [
      f'--teacher={self.folder / "network"}',
      f'--student={self.folder / "network"}',
      f'--data={self.folder / "server"}',
      f'--impostors={self.folder / "impostors"}',
      f'--fmr={served.FMR}',
      f'--port={self.port}',
      '--rate=1000',
    ]
    return args + ([f'--database={self.url}'] if self.url else [])

  def run(self, command, code=0):
    done = subprocess.run(
      command,
      capture_output=True,
      text=True,
      cwd=ROOT,
      timeout=300,
      check=False,
    )
    assert done.returncode in (code, *([4] if code == 0 else [])), done.stderr
    return done.stdout

  def join_code(self, label):
    args = [*self.server_args(), f'--add-device={label}']
    return self.run(self.command('server', *args)).split()[-1]

  def start(self):
    log = (self.folder / 'server.log').open('a')
    self.process = subprocess.Popen(
      self.command('server', *self.server_args()),
      cwd=ROOT,
      stdout=log,
      stderr=log,
    )

    def answers():
      try:
        return httpx.get(f'{self.address}/healthz').status_code == 200
      except httpx.HTTPError:
        return False

    served.wait_for(answers, seconds=120)

  def kill(self):
    if self.process:
      self.process.send_signal(signal.SIGKILL)
      self.process.wait()

  def device(self, name, *args, code=0):
    return self.run(self.device_command(name, *args), code)

  def device_command(self, name, *args):
    return self.command(
      'device',
      f'--store={self.folder / name}.db',
      f'--server={self.address}',
      *args,
    )

  def open(self, name):
    return store.open_(self.folder / f'{name}.db')


def photograph(folder, name, first):
  """Captures of five people and of strangers, as files of a folder."""
  images = folder / f'{name}_captures'
  images.mkdir()
  for i in range(CAPTURES):
    person = i % (PEOPLE + 2)
    seed = first + person if person < PEOPLE else 500 + i
    image = devices.near(served.palm(seed, size=48), i, amount=12)
    Image.fromarray(image).save(images / f'{i:03d}.png')
    # Files that settled.
    os.utime(images / f'{i:03d}.png', (i, i))
  return images


@pytest.mark.parametrize('kind', ['sqlite', 'postgresql'])
def test_two_devices_and_a_server_that_is_killed(kind, tmp_path, request):
  """Nothing is lost and nothing doubled."""
  url = request.getfixturevalue('postgres') if kind == 'postgresql' else None
  world = World(tmp_path, url)
  request.addfinalizer(world.kill)
  codes = {name: world.join_code(name) for name in ('one', 'two')}
  world.start()
  for name, first in (('one', 10), ('two', 30)):
    world.device(name, 'join', codes[name])
    assert 'a new student is in use' in world.device(name, 'sync')
    for person in range(PEOPLE):
      files = []
      for i in range(2):
        path = tmp_path / f'{name}_{person}_{i}.png'
        image = devices.near(served.palm(first + person, size=48), i)
        Image.fromarray(image).save(path)
        files.append(path)
      world.device(name, 'enrol', f'Person {person}', *files)
    images = photograph(tmp_path, name, first)
    said = world.device(
      name, '--failures=1', 'run', images, '--once'
    ).splitlines()
    assert len(said) == CAPTURES
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
    cwd=ROOT,
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
  assert len(references) == 2 * 2 * PEOPLE
  assert all(row.embedding for row in references)
  assert reports
  assert b'Person' not in log.read_bytes()

  # A device is killed while it learns; the next start is whole.
  learner = subprocess.Popen(
    world.device_command('one', 'update', '--now'),
    cwd=ROOT,
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
  assert re.match('(taken|refused): ', said)
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

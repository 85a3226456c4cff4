"""A server and devices as processes, for tests from end to end."""

import os
import pathlib
import signal
import socket
import subprocess
import sys

import httpx
from PIL import Image

from palmjax.edge.device import store
from tests.edge import devices, served
from tests.networks import small_exits

ROOT = pathlib.Path(__file__).parents[2]
PEOPLE, CAPTURES = 5, 100


def free_port():
  """A port of this machine that nobody listens on."""
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
    done = self.finish(command)
    assert done.returncode in (code, *([4] if code == 0 else [])), done.stderr
    return done.stdout

  def finish(self, command):
    """The `subprocess.CompletedProcess` of a command."""
    return subprocess.run(
      command,
      capture_output=True,
      text=True,
      cwd=ROOT,
      timeout=300,
      check=False,
    )

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

  def join(self, name, code, first):
    """Joins a device to the server, and enrols `PEOPLE` with two images."""
    self.device(name, 'join', code)
    assert 'a new student is in use' in self.device(name, 'sync')
    for person in range(PEOPLE):
      files = []
      for i in range(2):
        path = self.folder / f'{name}_{person}_{i}.png'
        image = devices.near(served.palm(first + person, size=48), i)
        Image.fromarray(image).save(path)
        files.append(path)
      self.device(name, 'enrol', f'Person {person}', *files)


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

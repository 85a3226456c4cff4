"""A server of tiny networks, and images for it."""

import functools
import io
import time
import uuid

import numpy as np
from PIL import Image

from palmjax.edge.server import database, service, tokens
from tests import untrained_network

FMR = 0.1


def palm(seed, size=48):
  """An image uint8 [size, size, 3]."""
  rng = np.random.default_rng(seed)
  coarse = rng.integers(0, 256, (6, 6, 3)).astype(np.uint8)
  return np.asarray(Image.fromarray(coarse).resize((size, size)))


def png(seed, size=48):
  """The same as the bytes of a PNG file."""
  buffer = io.BytesIO()
  Image.fromarray(palm(seed, size)).save(buffer, 'PNG')
  return buffer.getvalue()


@functools.cache
def impostors():
  """40 palms: 780 pairs measure an FMR of 0.1."""
  return [palm(1000 + i) for i in range(40)]


def rehearsed():
  """6 other palms."""
  return [palm(2000 + i) for i in range(6)]


def network(folder):
  """An export in a folder; returns its path."""
  untrained_network.save(folder)
  return folder


def start(folder, export, **options):
  """(`service.Service`, the administrator's token)."""
  return service.start(
    folder=folder,
    teacher=export,
    student=export,
    impostors=impostors(),
    rehearsed=rehearsed(),
    fmr=FMR,
    **options,
  )


def add_device(server, label=None):
  """Headers with the token of a new device; no two have one label."""
  label = label or f'door {new_id()}'
  with database.session(server.engine) as session:
    _, token = tokens.add_device(session, label, database.now())
  return bearer(token)


def new_id():
  """A fresh id."""
  return str(uuid.uuid4())


def enrol(server, device, seed):
  """Sends a reference to a server; its id."""
  name = new_id()
  answer = server.client.put(
    f'/v1/references/{name}', content=png(seed), headers=device
  )
  assert answer.status_code == 201
  return name


def labels(server, device, count=1):
  """Labels of a device, once there are so many."""

  def read():
    answer = server.client.get('/v1/labels', headers=device).json()
    return answer if len(answer) >= count else None

  return wait_for(read)


def report(**changes):
  """A report of a device, as JSON."""
  return {
    'student': '0' * 64,
    'version': 1,
    'kept': 3,
    'waiting': 2,
    'attempts': 5,
    'score_mean': 81.5,
    'score_std': 4.0,
    'updates': [update('rolled back')],
  } | changes


def update(outcome, **changes):
  """An update of a report."""
  return {
    'at': '2026-11-29T05:00:00Z',
    'outcome': outcome,
    'samples': 40,
    'fnmr_before': 0.1,
    'fnmr_after': 0.2,
  } | changes


def bearer(token):
  """Headers with a token."""
  return {'Authorization': f'Bearer {token}'}


def wait_for(check, seconds=60):
  """Waits until check() is true; its value."""
  end = time.monotonic() + seconds
  while time.monotonic() < end:
    if value := check():
      return value
    time.sleep(0.02)
  raise TimeoutError(f'nothing came in {seconds} s')

"""A server of tiny networks, and images for it."""

import functools
import io
import time

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


def add_device(server, label='door'):
  """Headers with the token of a new device."""
  with database.session(server.engine) as session:
    _, token = tokens.add_device(session, label, database.now())
  return bearer(token)


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

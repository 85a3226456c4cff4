"""A device with a tiny student, palms for it, and a server in memory."""

import contextlib
import functools

import httpx
import numpy as np

from palmjax.edge import package
from palmjax.edge.device import (
  capture,
  client,
  enrolment,
  learning,
  models,
  store,
  sync,
)
from tests.edge import served
from tests.networks import small_exits

FMR = served.FMR
KEY = package.load_private(bytes(range(32)))
# The first failure is kept, and asked about.
ASKING = capture.KeepingRules(failures=1, ask=1, interval=(0.0, 0.9999))
TOKEN = 'palm_' + 'x' * 43


@functools.cache
def impostors():
  """40 palms of 32 px."""
  return np.stack([served.palm(1000 + i, size=32) for i in range(40)])


def pack(folder, *, version=1, scale=1.0):
  """A package of a student; another `scale` gives other weights."""
  values = small_exits.variables()
  head = values['params']['head']
  values['params'] = {**values['params'], 'head': head * np.float32(scale)}
  small_exits.save(folder, values)
  return package.build(
    folder,
    impostors(),
    np.stack([palm(2000 + i) for i in range(6)]),
    version=version,
    fmr=FMR,
    private_key=KEY,
  )


def open_(folder, content):
  """A device whose student came from a package."""
  device = store.open_(folder / 'palm.db')
  public = package.public_text(KEY)
  learning.take_package(device, package.read(content, public_key=public))
  return device


def student(device):
  """The `models.Student` in use."""
  return models.load(device.folder, models.current(device.folder))


def palm(seed):
  """An image uint8 [32, 32, 3]."""
  return served.palm(seed, size=32)


def stranger(device, *references):
  """Of 50 palms the one least like some images; the network is untrained."""
  palms = np.stack([palm(100 + i) for i in range(50)])
  network = student(device).network
  cosines = network.embed(palms) @ network.embed(np.stack(references)).T
  return palms[np.argmin(cosines.max(axis=1))]


def near(image, seed, amount=6):
  """Another capture of the same palm."""
  noise = np.random.default_rng(seed).normal(0, amount, image.shape)
  return np.clip(image + noise, 0, 255).astype(np.uint8)


def enrol(device, name, *images):
  """Enrols a user; an `enrolment.Enrolment`."""
  with device.session() as session:
    return enrolment.enrol(device, session, student(device), name, list(images))


def identify(device, image, settings=None, now=0.0):
  """A `capture.Recognition`."""
  with device.session() as session:
    return capture.identify(
      device,
      session,
      student(device),
      image,
      settings or capture.KeepingRules(),
      now,
    )


@contextlib.contextmanager
def rows(device, table):
  """All rows of a table."""
  with device.session() as session:
    yield session.query(table).all()


def stored(device):
  """All bytes of a device's files, but for its key."""
  paths = [*device.path.parent.glob('palm.db*'), *device.folder.rglob('*')]
  return b''.join(
    path.read_bytes()
    for path in paths
    if path.is_file() and path.suffix != '.key'
  )


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


def sync_with(device, server, settings=ASKING, now=0.0):
  """Syncs a device with a `FakeServer`; returns what `sync.run` counted."""
  public = package.public_text(KEY)
  return sync.run(device, server.client(), public, settings, now)

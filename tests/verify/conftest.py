"""A network, pictures, and the command on them."""

import functools
import json

import jax
import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from palmjax import verify
from palmjax.inference import correlation, matcher
from palmjax.networks import palm as palm_networks
from tests import untrained_network

EVERY_SCORE = (
  [],
  ['--turns'],
  ['--score=correlation'],
  ['--turns', '--score=correlation'],
)


def _pictures(count, seed, shape=(40, 40)):
  """Blurred noise, grey: uint8 [count, H, W]."""
  noise = np.random.default_rng(seed).normal(size=(count, *shape))
  noise = ndimage.gaussian_filter(noise, (0, 1.5, 1.5))
  return np.clip(128 + 200 * noise, 0, 255).astype(np.uint8)


@pytest.fixture(scope='session')
def pictures():
  """pictures(count, seed, shape): blurred noise."""
  return _pictures


@pytest.fixture(scope='session')
def black():
  """black(size): a change of `save`, to an image of one colour."""
  return lambda size: lambda _: Image.new('RGB', size)


@pytest.fixture(scope='session')
def trained(tmp_path_factory):
  """The export of a network as it was drawn, calibrated on blurred noise."""
  directory = tmp_path_factory.mktemp('export')
  untrained_network.save(directory)
  # 31,125 pairs: enough for an FMR of 1e-3, not for 1e-4.
  images = np.repeat(_pictures(250, 1, (32, 32))[..., None], 3, axis=-1)
  pairs = np.triu_indices(len(images), 1)
  templates = jax.jit(correlation.templates)(
    images[..., :1] / np.float32(127.5) - 1
  )
  correlations = np.asarray(jax.jit(correlation.all_similarities)(templates))[
    pairs
  ]
  network = palm_networks.load(directory)
  calibrations = []
  for turns, embeddings in (
    (False, network.embed(images)),
    (True, matcher.embed_turns(network.embed, images)),
  ):
    cosines = (embeddings @ embeddings.T)[pairs]
    standard = matcher.standardise(cosines, correlations)
    calibrations += [
      matcher.calibrate(
        cosines,
        comparison=matcher.comparison(turns=turns),
        dataset='blurred noise',
      ),
      matcher.calibrate(
        matcher.fuse(cosines, correlations, standard),
        comparison=matcher.comparison(turns=turns, correlation=True),
        dataset='blurred noise',
        standard=standard,
      ),
    ]
  matcher.save(directory, calibrations)
  return directory


@pytest.fixture
def save(tmp_path):
  """Writes a picture, by default always the same one; returns its path."""

  def save(name, seed=7, change=lambda image: image, **options):
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    # Nearly square, as cut-outs are.
    picture = _pictures(1, seed, (48, 36))[0][4:-4]
    image = change(Image.fromarray(picture))
    image.save(path, **options)
    return str(path)

  return save


_networks = {}
_of_export = palm_networks.of_export


def of_export_once(exported, directory):
  """A network that is loaded anew is compiled anew."""
  key = (*exported.digests.values(), str(exported.model))
  if key not in _networks:
    _networks[key] = _of_export(exported, directory)
  return _networks[key]


@pytest.fixture(params=EVERY_SCORE, ids=' '.join)
def options(request):
  """Options for each of the scores that calibration.json has thresholds for."""
  return request.param


@pytest.fixture
def ask_plainly(trained, capsys, monkeypatch):
  """Runs the command; returns (code, stdout, stderr)."""
  monkeypatch.setattr(palm_networks, 'of_export', of_export_once)

  def ask(*arguments):
    code = verify.main([f'--export={trained}', *map(str, arguments)])
    return code, *capsys.readouterr()

  return ask


@pytest.fixture
def ask(ask_plainly):
  """Runs the command with the score of the network alone, unless stated."""
  return functools.partial(ask_plainly, '--score=network')


@pytest.fixture
def answer(ask):
  """The answer of a run that has one, parsed."""

  def answer(*arguments):
    code, output, errors = ask('--json', *arguments)
    assert (code, errors) == (0, '')
    return json.loads(output)

  return answer


@pytest.fixture
def refusal(ask):
  """The error of a run that has no answer: one line."""

  def refusal(*arguments):
    code, output, errors = ask(*arguments)
    assert (code, output) == (1, '')
    assert errors.startswith('palmjax: ')
    assert errors.count('\n') == 1
    return errors

  return refusal

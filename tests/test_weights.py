"""The weights that come with the package."""

import json
import os

import jax
import numpy as np
import pytest

from palmjax.data.boxes import boxes
from palmjax.data.palms import palms
from palmjax.evals import bootstrap
from palmjax.evals.detection import average_precision
from palmjax.evals.recognition import error_rates, verification
from palmjax.inference import matcher, verifier
from palmjax.networks import export, shipped
from palmjax.networks import hand as hand_networks
from palmjax.recipes.shared import controls
from tests.inference import drawn_palms


def test_they_are_small():
  folders = [path for path in shipped.PALM.parent.iterdir() if path.is_dir()]
  assert {shipped.PALM, shipped.HAND, shipped.PALM_FRAME} <= {*folders}
  for folder in folders:
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 8e6


def test_they_hold_no_class_weights_and_no_path():
  exported = export.load(shipped.PALM)
  assert set(exported.variables['params']) == {'backbone'}
  config = json.loads((shipped.PALM / 'config.json').read_text())
  assert config['data']['dir'] == ''
  assert config['data']['name'] == 'drawn_palms'


@pytest.mark.parametrize('turns', [False, True])
@pytest.mark.parametrize('correlation', [False, True])
def test_every_score_is_calibrated(turns, correlation):
  name = matcher.comparison(turns=turns, correlation=correlation)
  calibration = matcher.load(shipped.PALM, name)
  thresholds = [calibration.threshold(fmr) for fmr in (1e-2, 1e-3, 1e-4)]
  assert thresholds == sorted(thresholds)
  assert len(set(thresholds)) == 3


@pytest.fixture(scope='module')
def drawn():
  """Palms at full difficulty, in two sessions of two devices."""
  identities, samples = np.repeat(np.arange(48), 6), np.tile(np.arange(6), 48)
  sessions = palms.session_of(samples)
  images = drawn_palms.draw_all(77, identities, samples, 1.0, sessions + 2)
  return images, identities, sessions


def _eer(similarities, drawn):
  _, labels, sessions = drawn
  scores = verification.matrix_scores(similarities, labels, sessions=sessions)
  return error_rates.eer(scores.genuine, scores.impostor)


def _eer_of_network(directory, drawn):
  embed = verifier.load(directory, turns=False).embed
  embeddings = embed(list(drawn[0]))
  np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1.0, atol=1e-5)
  return _eer(embeddings @ embeddings.T, drawn)


@pytest.mark.slow
def test_they_beat_correlation_across_sessions(drawn, tmp_path):
  """Threefold at least; a network that learned nothing is far from it."""
  control = _eer(controls.correlate(drawn[0]), drawn)
  assert _eer_of_network(shipped.PALM, drawn) < control / 3
  exported = export.load(shipped.PALM)
  generator = np.random.default_rng(0)
  fresh = jax.tree.map(
    lambda leaf: generator.permuted(leaf) if leaf.ndim > 1 else leaf,
    exported.variables,
  )
  export.save(
    tmp_path,
    variables=fresh,
    model=exported.model,
    preprocess=exported.preprocess,
  )
  assert _eer_of_network(tmp_path, drawn) > control / 3


@pytest.mark.slow
def test_the_detector_on_photographs():
  root = os.environ.get('PALMJAX_GESTURES', '')
  if not os.path.isdir(root):
    pytest.skip('set PALMJAX_GESTURES to the folder of a YOLO set of gestures')
  network = hand_networks.load(shipped.HAND, passes=True)
  photographs = boxes.load(
    boxes.read(root, form='yolo', split='valid', names=network.classes),
    size=network.image_size,
  ).arrays
  truths = [
    (true[valid], classes[valid])
    for true, classes, valid in zip(
      *(photographs[key] for key in ('boxes', 'classes', 'valid')), strict=True
    )
  ]
  seen = network.detect(photographs['image'])
  detections = zip(
    *(seen[key] for key in ('boxes', 'scores', 'classes')), strict=True
  )
  rates = average_precision.evaluate(
    truths,
    list(detections),
    names=network.classes,
    resampling=bootstrap.Resampling(draws=10),
  )
  recorded = json.loads((shipped.HAND / 'results.json').read_text())
  assert rates['ap50']['value'] >= 0.9
  assert rates['ap50']['value'] == pytest.approx(
    recorded['boxes']['ap50']['value'], abs=0.005
  )

"""What the report says where the controls are better than CNN-2."""

import json
import pathlib
import types

import numpy as np
import pytest

from configs import ssl as ssl_config
from palmjax import files
from palmjax.evals import bootstrap
from palmjax.evals.recognition import verification
from palmjax.recipes.shared import palm_images, palm_training
from palmjax.recipes.ssl import gan as ssl_gan
from palmjax.recipes.ssl import labels as ssl_labels
from palmjax.recipes.ssl import report as ssl_report

LABELS = np.repeat(np.arange(12, dtype=np.int32), 3)
# How far images of one palm lie from each other.
SPREAD = {
  'cnn1': 0.5,
  'cnn2': 0.9,
  'control': 1.2,
  'correlation': 0.01,
  'orientation code': 0.01,
}
GAN = {
  name: {'value': 1}
  for name in ('kid@palm', 'memorisation', 'copied', 'diversity', 'iterations')
}
GAN['kept'] = {'value': 1}


def _scores(spread):
  rng = np.random.default_rng(1)
  points = rng.normal(size=(12, 8))[LABELS]
  points += spread * rng.normal(size=points.shape)
  unit = points / np.linalg.norm(points, axis=1, keepdims=True)
  return verification.matrix_scores(unit @ unit.T, LABELS)


@pytest.fixture
def page(tmp_path, monkeypatch, capsys):
  """(report.html, what was printed) of a run with 12 identities to test."""
  images = np.zeros((36, 8, 8, 3), np.uint8)
  part = palm_images.Part(
    images, LABELS, tuple(f'palm {k}' for k in range(12)), np.zeros(36)
  )
  palms = types.SimpleNamespace(labelled=part, evaluation=part, skipped=())
  monkeypatch.setattr(ssl_gan, 'training_images', lambda _, images: images)
  monkeypatch.setattr(
    ssl_labels,
    'read_soft_labels',
    lambda _: (images[:4], np.full((4, 12), 1 / 12)),
  )
  scores = {name: _scores(spread) for name, spread in SPREAD.items()}
  resampling = bootstrap.Resampling(draws=20, seed=0)
  models = {
    name: verification.rates(of_model, fars=(0.1,), resampling=resampling)
    for name, of_model in scores.items()
  }
  for name in ('control', 'cnn1'):
    models['cnn2'][f'eer/{name}'] = verification.eer_ratio(
      scores['cnn2'], scores[name], resampling=resampling
    )
  config = ssl_config.get_config('smoke')
  config.evaluation.fars = (0.1,)
  files.write_file(tmp_path / 'metrics.jsonl', '')
  ssl_report.write(
    palm_training.PalmRun(config, palms, pathlib.Path(tmp_path)),
    scores,
    {'models': {**models, 'gan': GAN}, 'ended': {}},
    soft_labels='soft',
  )
  assert json.loads((tmp_path / 'run.json').read_text())['skipped images'] == []
  text = (tmp_path / 'report.html').read_text().replace('\xa0', ' ')
  return text, capsys.readouterr().out.replace('\xa0', ' ')


def test_no_model_that_is_better_is_hidden(page):
  text, printed = page
  headline = text.partition('<h1>')[2].partition('</h1>')[0]
  for words in (
    'over that of the control',
    'over that of CNN-1',
    'orientation code, which learned nothing, 0.00 %',
    'Only 12 identities were tested',
  ):
    assert words in headline
    assert words in printed
  assert 'EER, CNN-2 / CNN-1' in text
  # The classical controls are in the figures, or their absence is told.
  assert 'too few pairs or errors for Correlation (nothing learned)' in text
  figure = text.partition('Equal error rate: ')[2].partition('"')[0]
  assert 'Orientation code (nothing learned) 0.00 %' in figure

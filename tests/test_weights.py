"""The weights that come with the package."""

import json

import jax
import numpy as np
import pytest

from palmjax import verify
from palmjax.data import palms
from palmjax.edge import export, matcher
from palmjax.evals import identification


def test_they_are_small_and_hold_no_class_weights_and_no_path():
  files = list(verify.WEIGHTS.iterdir())
  assert sum(path.stat().st_size for path in files) <= 8e6
  found = export.load(verify.WEIGHTS)
  assert set(found.variables['params']) == {'backbone'}
  config = json.loads((verify.WEIGHTS / 'config.json').read_text())
  assert config['data']['dir'] == ''
  assert config['data']['name'] == 'drawn_palms'


@pytest.mark.parametrize('views', [False, True])
@pytest.mark.parametrize('correlation', [False, True])
def test_every_score_is_calibrated(views, correlation):
  name = matcher.comparison(views=views, correlation=correlation)
  found = matcher.load(verify.WEIGHTS, name)
  thresholds = [found.threshold(fmr) for fmr in (1e-2, 1e-3, 1e-4)]
  assert thresholds == sorted(thresholds)
  assert len(set(thresholds)) == 3


def test_they_find_drawn_palms_again():
  """Two samples of ten palms: the other one of a palm is the most alike."""
  images, labels, _ = palms.draw_set(
    jax.random.key(77), np.arange(10), 2, size=64, difficulty=0.3, batch_size=20
  )
  embeddings = verify.load_embedder()(list(images))
  np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1.0, atol=1e-5)
  searches = identification.leave_one_out(embeddings, labels)
  assert np.mean(searches.rank == 1) >= 0.9

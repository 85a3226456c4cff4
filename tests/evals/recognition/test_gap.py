"""The share of a gap that a model closes."""

import numpy as np
import pytest

from palmjax.evals import bootstrap
from palmjax.evals.recognition import gap, verification

LABELS = np.repeat(np.arange(24), 4)
QUICK = bootstrap.Resampling(draws=200)


def noisy(noise, labels=LABELS):
  """Scores of embeddings that are an identity's direction and noise."""
  rng = np.random.default_rng(0)
  centres = rng.normal(size=(24, 16))[labels]
  embeddings = centres + noise * rng.normal(size=centres.shape)
  embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
  return verification.pair_scores(embeddings.astype(np.float32), labels)


def eer(scores):
  return verification.rates(scores, fars=(), resampling=QUICK)['eer']['value']


def test_share_of_the_way_from_the_baseline_to_the_goal():
  model, baseline, goal = map(noisy, (1.2, 1.8, 0.6))
  share = gap.closed(model, baseline, goal, resampling=QUICK)
  want = (eer(baseline) - eer(model)) / (eer(baseline) - eer(goal))
  assert share['value'] == pytest.approx(want)
  assert 0 < share['low'] < want < share['high'] < 1.2
  ends = [
    gap.closed(one, baseline, goal, resampling=QUICK)
    for one in (baseline, goal)
  ]
  assert ends == [
    {'value': 0, 'low': 0, 'high': 0},
    {'value': 1, 'low': 1, 'high': 1},
  ]


def test_no_gap_is_no_number():
  one, other = map(noisy, (0.9, 1.8))
  for baseline, goal in ((one, one), (one, other)):
    share = gap.closed(other, baseline, goal, resampling=QUICK)
    assert share['value'] is None
    assert 'not surely better' in share['reason']


def test_other_images_are_refused():
  with pytest.raises(ValueError, match='same labelled images'):
    gap.closed(noisy(1.0, LABELS[:-4]), noisy(1.5), noisy(0.5))

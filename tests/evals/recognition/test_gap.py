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


def test_misses_that_an_update_took_back():
  before, drifted = np.zeros(10, int), np.array([4, 2, 3, 4, 2, 4, 3, 3, 2, 3])
  half = drifted // 2
  share = gap.recovered(half, drifted, before, resampling=QUICK)
  want = (drifted.sum() - half.sum()) / drifted.sum()
  assert share['value'] == want
  assert share['low'] < want < share['high']
  worse = gap.recovered(drifted + 1, drifted, before, resampling=QUICK)
  assert worse['high'] < 0


@pytest.mark.parametrize(
  'users, reason', [(4, 'with 4 identities'), (10, 'not surely better')]
)
def test_what_cannot_be_measured(users, reason):
  drifted = np.arange(users) == 0
  share = gap.recovered(0 * drifted, drifted, 0 * drifted, resampling=QUICK)
  assert share['value'] is None
  assert reason in share['reason']


def test_resamples_without_a_gap_widen_the_interval():
  # Four of 12 users have the gap: one draw in 130 meets none of them.
  drifted = np.where(np.arange(12) < 4, 2, 0)
  mine = np.where(np.arange(12) == 5, 1, 0)
  resampling = bootstrap.Resampling(draws=2000)
  share = gap.recovered(mine, drifted, 0 * drifted, resampling=resampling)
  gains, gaps = (
    bootstrap.draw(12, resampling) @ x for x in (drifted - mine, drifted)
  )
  assert 0 < np.mean(gaps == 0) < 0.02
  with np.errstate(divide='ignore', invalid='ignore'):
    shares = np.where(gaps == 0, -np.inf, gains / gaps)
  ends = [
    bootstrap.interval(kept, 7 / 8, 0.95, 12)
    for kept in (shares, shares[gaps > 0])
  ]
  assert (share['low'], share['high']) == ends[0]
  assert ends[0][0] < ends[1][0]

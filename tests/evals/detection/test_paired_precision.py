"""Ratios and means of AP50 on the same images."""

import numpy as np
import pytest

from palmjax.evals import bootstrap
from palmjax.evals.detection import (
  average_precision,
  box_matching,
  paired_precision,
)
from tests.evals.detection import small_sets

RESAMPLING = bootstrap.Resampling(draws=40, seed=5)


def matched(*images):
  truths, detections = small_sets.one_class(*images)
  return box_matching.match(truths, detections, names=('a',))


def share(successes, count=20):
  """So many of the images have their one box found."""
  return matched(
    *[(1, [0.9] if i < successes else [], []) for i in range(count)]
  )


def ap50s(matches):
  draws = bootstrap.draw(20, RESAMPLING)
  return average_precision.weighted(matches, draws)[1]['ap50']


def test_ap50_alone_is_that_of_all_rates():
  truths, detections = small_sets.random_set(3)
  matches = box_matching.match(truths, detections, names=small_sets.NAMES)
  weights = bootstrap.draw(len(truths), RESAMPLING)
  np.testing.assert_array_equal(
    average_precision.ap50(matches, weights),
    average_precision.weighted(matches, weights)[1]['ap50'],
  )


def test_a_difference_is_that_of_all_rates():
  truths, detections = small_sets.random_set(3)
  matches = box_matching.match(truths, detections, names=small_sets.NAMES)
  fewer = [
    (boxes[1:], scores[1:], labels[1:]) for boxes, scores, labels in detections
  ]
  baseline = box_matching.match(truths, fewer, names=small_sets.NAMES)
  pair = matches, baseline
  gain = paired_precision.difference(*pair, resampling=RESAMPLING)
  assert gain == average_precision.difference(
    *pair, metric='ap50', resampling=RESAMPLING
  )
  assert gain['low'] < gain['high']
  same = paired_precision.difference(matches, matches, resampling=RESAMPLING)
  assert same == {'value': 0.0, 'low': 0.0, 'high': 0.0}


def test_a_ratio_is_of_the_same_draws():
  more, fewer = share(18), share(14)
  ratio = paired_precision.ratio(more, fewer, resampling=RESAMPLING)
  quotients = ap50s(more) / ap50s(fewer)
  assert ratio['value'] == pytest.approx(18 / 14, abs=0.02)
  # The tails of 20 images and 40 draws hold less than one draw.
  assert ratio['low'] == pytest.approx(quotients.min())
  assert ratio['high'] == pytest.approx(quotients.max())
  same = paired_precision.ratio(more, more, resampling=RESAMPLING)
  assert same == {'value': 1.0, 'low': 1.0, 'high': 1.0}


def test_a_ratio_to_little_or_nothing_is_told_in_words():
  def reason(mine, baseline):
    ratio = paired_precision.ratio(mine, baseline, resampling=RESAMPLING)
    assert ratio['value'] is None
    return ratio['reason']

  assert reason(share(9), share(0)) == 'the AP50 to divide by is 0'
  empty = 100 * np.mean(ap50s(share(1)) == 0)
  assert 0 < empty < 100
  assert f'is 0 in {empty:.0f} % of' in reason(share(9), share(1))
  assert 'with 4 images' in reason(share(4, 4), share(4, 4))
  assert '0 boxes' in reason(*[matched(*[(0, [], [0.5])] * 6)] * 2)
  with pytest.raises(ValueError, match='different images'):
    paired_precision.ratio(share(4), share(4, 8))


def test_a_ratio_of_nothing_has_an_interval():
  """No resample differs; other images may: the rule of 3."""
  ratio = paired_precision.ratio(share(0), share(20), resampling=RESAMPLING)
  assert (ratio['value'], ratio['low']) == (0.0, 0.0)
  assert ratio['high'] == pytest.approx(1 - 0.05 ** (1 / 20))


def test_a_difference_of_nothing_has_an_interval():
  gain = average_precision.difference(
    share(0), share(0), metric='ap50', resampling=RESAMPLING
  )
  reach = 1 - 0.05 ** (1 / 20)
  assert gain == pytest.approx({'value': 0.0, 'low': -reach, 'high': reach})


def test_the_interval_of_a_mean_is_of_the_same_draws():
  models = [share(18), share(14), share(5)]
  mean = paired_precision.mean(models, resampling=RESAMPLING)
  draws = np.mean([ap50s(one) for one in models], axis=0)
  assert mean['low'] == pytest.approx(draws.min())
  assert mean['high'] == pytest.approx(draws.max())
  assert mean['low'] < mean['value'] < mean['high']
  perfect = paired_precision.mean([share(20)] * 2, resampling=RESAMPLING)
  assert perfect['low'] < perfect['value'] == 1.0
  lost = paired_precision.mean([share(0)] * 2, resampling=RESAMPLING)
  assert lost['value'] == lost['low'] == 0.0
  assert lost['high'] == pytest.approx(1 - 0.05 ** (1 / 20))


def test_the_mean_of_one_is_its_rate():
  rates = average_precision.rates(share(14), resampling=RESAMPLING)
  mean = paired_precision.mean([share(14)], resampling=RESAMPLING)
  assert mean == pytest.approx(rates['ap50'], abs=1e-12)

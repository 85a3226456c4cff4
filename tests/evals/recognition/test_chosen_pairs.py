import numpy as np
import pytest

from palmjax.evals import bootstrap
from palmjax.evals.recognition import chosen_pairs, verification

RESAMPLING = bootstrap.Resampling(draws=100)


def pairs(genuine, impostor):
  """One of each kind for each identity, against the next one."""
  palms = np.arange(len(genuine))
  return chosen_pairs.ChosenPairs(
    np.float32(genuine),
    np.float32(impostor),
    palms,
    np.stack([palms, np.roll(palms, -1)]),
  )


def test_golden_rates():
  rates = chosen_pairs.rates(
    pairs([0.9, 0.8, 0.4, 0.7], [0.1, 0.5, 0.2, 0.3]),
    threshold=0.45,
    resampling=RESAMPLING,
  )
  assert {name: rate['value'] for name, rate in rates.items()} == {
    'eer': 0.25,
    'fnmr': 0.25,
    'fmr': 0.25,
  }


def test_of_all_pairs_it_is_verification():
  """Values and intervals, with another count of the same draws."""
  rng = np.random.default_rng(0)
  labels = np.repeat(np.arange(12), 3)
  matrix = rng.normal(size=(36, 36)) + 1.5 * (labels[:, None] == labels)
  scores = verification.matrix_scores(matrix.astype(np.float32), labels)
  rates = chosen_pairs.rates(
    chosen_pairs.ChosenPairs(*scores[:4]),
    threshold='none',
    resampling=RESAMPLING,
  )
  expected = verification.rates(scores, fars=(), resampling=RESAMPLING)
  assert rates['eer'] == pytest.approx(expected['eer'])
  assert rates['fnmr'] == rates['fmr'] == {'value': None, 'reason': 'none'}


def test_what_is_all_wrong_is_wrong_for_others_as_far_as_is_known():
  """The rule of 3, at both ends."""
  rates = chosen_pairs.rates(
    pairs([0.1] * 8, [0.9] * 8), threshold=0.5, resampling=RESAMPLING
  )
  unseen = 1 - 0.05 ** (1 / 8)
  for rate in rates.values():
    assert (rate['value'], rate['high']) == (1.0, 1.0)
    assert rate['low'] == pytest.approx(1 - unseen)
  right = chosen_pairs.rates(
    pairs([0.9] * 8, [0.1] * 8), threshold=0.5, resampling=RESAMPLING
  )
  for rate in right.values():
    assert (rate['low'], rate['value']) == (0.0, 0.0)
    assert rate['high'] == pytest.approx(unseen)


def test_a_difference_is_of_the_same_draws():
  rng = np.random.default_rng(1)
  better = pairs(rng.normal(2.0, 1.0, 40), rng.normal(0.0, 1.0, 40))
  worse = better._replace(genuine=better.genuine - 1)

  def difference(*models):
    return chosen_pairs.eer_difference(*models, resampling=RESAMPLING)

  assert set(difference(better, better).values()) == {0.0}
  gain = difference(worse, better)
  assert 0 < gain['low'] <= gain['value'] <= gain['high']
  few = pairs([1, 2], [0, 1])
  assert difference(few, few)['reason'] == 'not measurable with 2 identities'


def test_a_difference_of_lost_networks_has_an_interval():
  """Every resample agrees; other identities need not: the rule of 3."""
  lost = pairs([0.1] * 8, [0.9] * 8)
  also = pairs([0.2] * 8, [0.8] * 8)
  unseen = 1 - 0.05 ** (1 / 8)
  gain = chosen_pairs.eer_difference(lost, also, resampling=RESAMPLING)
  assert gain == pytest.approx({'value': 0.0, 'low': -unseen, 'high': unseen})
  right = pairs([0.9] * 8, [0.1] * 8)
  gain = chosen_pairs.eer_difference(lost, right, resampling=RESAMPLING)
  assert gain == pytest.approx({'value': 1.0, 'low': 1 - unseen, 'high': 1.0})

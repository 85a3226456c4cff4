"""Thresholds against loops in NumPy, and what they are worth."""

import math

import numpy as np
import pytest
from scipy import integrate, stats

from palmjax.inference import cohort_thresholds


def own_thresholds(drawn, scores, pairs, fmr, tail):
  """t(f) of one draw by both laws, of a list of pairs as often as drawn."""
  everything = sorted(
    score
    for score, (i, j) in zip(scores, pairs, strict=True)
    for _ in range(drawn[i] * drawn[j])
  )

  def reached(share):
    place = math.ceil((1 - share) * len(everything)) - 1
    return everything[place]

  def above(share, distance):
    if fmr >= share:
      return reached(fmr)
    start = reached(share)
    excess = [score - start for score in everything if score >= start]
    return start + sum(excess) / len(excess) * distance

  first = math.log(1 / tail)
  # Mean of sqrt(log(1 / p) + E) - sqrt(log(1 / p)), by its integral.
  mean, _ = integrate.quad(
    lambda e: (math.sqrt(first + e) - math.sqrt(first)) * math.exp(-e), 0, 60
  )
  normal = (math.sqrt(math.log(1 / fmr)) - math.sqrt(first)) / mean
  return above(tail, normal), above(0.05, math.log(0.05 / fmr))


@pytest.mark.parametrize('count, share', [(40, 1.0), (110, 780 / 5995)])
def test_thresholds_are_at_the_careful_end(count, share, monkeypatch):
  monkeypatch.setattr(cohort_thresholds, 'DRAWS', 11)
  rng = np.random.default_rng(1)
  rows, columns = np.triu_indices(count, 1)
  scores = rng.normal(size=len(rows))
  rates = (2e-1, 1e-2, 1e-3)
  thresholds = cohort_thresholds.careful(
    scores, rows, columns, rates, np.random.default_rng(2)
  )
  same = np.random.default_rng(2)
  draws = []
  pairs = list(zip(rows.tolist(), columns.tolist(), strict=True))
  for _ in range(11):
    palm = [0] * count
    for k in same.integers(0, count, count):
      palm[k] += 1
    draws.append(
      [own_thresholds(palm, scores, pairs, fmr, 0.2) for fmr in rates]
    )
  draws = np.sort(draws, axis=0)
  # Of 11 the 7th is the quantile of 0.6, and the 10th that of 0.9.
  want = (1 - share) * draws[6, :, 0] + share * draws[9, :, 1]
  np.testing.assert_allclose(thresholds, want, rtol=1e-6)
  strict = cohort_thresholds.strict(
    scores, rows, columns, rates, np.random.default_rng(2)
  )
  np.testing.assert_allclose(strict, draws[9, :, 1], rtol=1e-6)
  upper = cohort_thresholds.upper(
    scores, rows, columns, rates, np.random.default_rng(2)
  )
  np.testing.assert_allclose(upper, draws[9, :, 0], rtol=1e-6)
  assert np.diff(thresholds).min() > 0


@pytest.mark.parametrize(
  'count, cohorts, effect',
  [
    (40, 150, 0.3),
    pytest.param(40, 150, 0.6, marks=pytest.mark.slow),
    pytest.param(200, 40, 0.6, marks=pytest.mark.slow),
  ],
)
def test_false_match_rates_of_strangers(count, cohorts, effect):
  """s = a_i + a_j + e_ij: palms are more or less like all others."""
  rng = np.random.default_rng(5)
  rows, columns = np.triu_indices(count, 1)
  rates = np.array([1e-2, 1e-3])
  true = []
  for _ in range(cohorts):
    palm = effect * rng.normal(size=count)
    scores = palm[rows] + palm[columns] + rng.normal(size=len(rows))
    thresholds = cohort_thresholds.careful(scores, rows, columns, rates, rng)
    # Of two strangers' palms, by the normal distribution.
    true.append(stats.norm.sf(thresholds, scale=math.sqrt(1 + 2 * effect**2)))
  share = np.array(true) / rates
  assert ((share <= 2).mean(axis=0) >= 0.95).all()
  # Of few palms thresholds are careful, of many near the middle.
  assert ((share <= 1).mean(axis=0) >= (0.65 if count < 100 else 0.5)).all()
  assert (share.mean(axis=0) >= (0.2 if count < 100 else 0.75)).all()
  if count >= 100:
    assert ((share >= 0.5).mean(axis=0) >= 0.8).all()

"""Thresholds against loops in NumPy, and what they are worth."""

import math

import numpy as np
import pytest
from scipy import integrate, stats

from palmjax.inference import cohort_thresholds


def own_threshold(drawn, scores, pairs, fmr, tail):
  """t(f) of one draw, of a list with every pair as often as it was drawn."""
  everything = sorted(
    score
    for score, (i, j) in zip(scores, pairs, strict=True)
    for _ in range(drawn[i] * drawn[j])
  )

  def reached(share):
    place = math.ceil((1 - share) * len(everything)) - 1
    return everything[place]

  if fmr >= tail:
    return reached(fmr)
  start = reached(tail)
  excess = [score - start for score in everything if score >= start]
  # Mean of sqrt(log(1 / p) + E) - sqrt(log(1 / p)), by its integral.
  first = math.log(1 / tail)
  unit, _ = integrate.quad(
    lambda e: (math.sqrt(first + e) - math.sqrt(first)) * math.exp(-e), 0, 60
  )
  fall = sum(excess) / len(excess) / unit
  return start + fall * (math.sqrt(math.log(1 / fmr)) - math.sqrt(first))


@pytest.mark.parametrize('count, tail', [(40, 0.2), (110, 0.2)])
def test_thresholds_are_at_the_careful_end(count, tail, monkeypatch):
  monkeypatch.setattr(cohort_thresholds, '_DRAWS', 11)
  rng = np.random.default_rng(1)
  rows, columns = np.triu_indices(count, 1)
  scores = rng.normal(size=len(rows))
  rates = (2e-1, 1e-2, 1e-3)
  found = cohort_thresholds.careful(
    scores, rows, columns, rates, np.random.default_rng(2)
  )
  same = np.random.default_rng(2)
  usual, twice = [], []
  pairs = list(zip(rows.tolist(), columns.tolist(), strict=True))
  for _ in range(11):
    palm = [0] * count
    for k in same.integers(0, count, count):
      palm[k] += 1
    for wanted, factor in ((usual, 1), (twice, 2)):
      wanted.append(
        [
          own_threshold(palm, scores, pairs, factor * fmr, tail)
          for fmr in rates
        ]
      )
  # Of 11 the 9th is the quantile of 0.8.
  usual = np.sort(usual, axis=0)[8]
  sure = np.mean(twice, axis=0) + 2.7 * np.std(twice, axis=0)
  np.testing.assert_allclose(found, np.maximum(usual, sure), rtol=1e-6)
  assert np.diff(found).min() > 0


@pytest.mark.parametrize(
  'count, cohorts, effect',
  [
    (40, 100, 0.3),
    pytest.param(40, 100, 0.6, marks=pytest.mark.slow),
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
  assert ((share <= 1).mean(axis=0) >= (0.65 if count < 100 else 0.75)).all()
  # Careful, but not absurd.
  assert (share.mean(axis=0) >= (0.2 if count < 100 else 0.5)).all()

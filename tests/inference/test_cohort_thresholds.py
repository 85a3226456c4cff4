"""Thresholds against loops in NumPy, and what they are worth."""

import math

import numpy as np
import pytest
from scipy import integrate

from palmjax.inference import cohort_thresholds


def own_thresholds(drawn, scores, pairs, fmr, tail, typical=None):
  """t(f) of one draw by both laws, of a list of pairs as often as drawn."""
  everything = sorted(
    score
    for score, (i, j) in zip(scores, pairs, strict=True)
    for _ in range(drawn[i] * drawn[j])
  )

  def reached(share):
    place = math.ceil((1 - share) * len(everything)) - 1
    return everything[place]

  def above(distance, typical=None):
    if fmr >= tail:
      return reached(fmr)
    start = reached(tail)
    excess = [score - start for score in everything if score >= start]
    mean = sum(excess) / len(excess)
    if typical is not None:
      mean = max(mean, (len(drawn) * mean + 40 * typical) / (len(drawn) + 40))
    return start + mean * distance

  first = math.log(1 / tail)
  # Mean of sqrt(log(1 / p) + E) - sqrt(log(1 / p)), by its integral.
  mean, _ = integrate.quad(
    lambda e: (math.sqrt(first + e) - math.sqrt(first)) * math.exp(-e), 0, 60
  )
  normal = (math.sqrt(math.log(1 / fmr)) - math.sqrt(first)) / mean
  return above(normal), above(math.log(tail / fmr), typical)


@pytest.mark.parametrize('typical', [None, 0.1, 0.8])
@pytest.mark.parametrize(
  'count, tail, share', [(40, 0.03, 1.0), (250, 600 / 31125, 0.06292)]
)
def test_thresholds_are_at_the_careful_end(
  count, tail, share, typical, monkeypatch
):
  monkeypatch.setattr(cohort_thresholds, 'DRAWS', 11)
  rng = np.random.default_rng(1)
  rows, columns = np.triu_indices(count, 1)
  scores = rng.normal(size=len(rows))
  rates = (2e-1, 1e-2, 1e-3)
  thresholds = cohort_thresholds.careful(
    scores, rows, columns, rates, np.random.default_rng(2), typical
  )
  same = np.random.default_rng(2)
  usual, most, alone, drawn_palms = [], [], [], []
  pairs = list(zip(rows.tolist(), columns.tolist(), strict=True))
  of_drawn = 0.2 if count == 40 else 2000 / len(pairs)
  for _ in range(11):
    palm = [0] * count
    for k in same.integers(0, count, count):
      palm[k] += 1
    args = palm, scores, pairs
    usual.append([own_thresholds(*args, f, tail)[0] for f in rates])
    most.append([own_thresholds(*args, f, 0.05, typical)[1] for f in rates])
    alone.append([own_thresholds(*args, f, 0.05)[1] for f in rates])
    drawn_palms.append([own_thresholds(*args, f, of_drawn)[0] for f in rates])
  # Of 11 the 10th is the quantile of 0.9, and that of 0.55 lies halfway
  # between the 6th and the 7th.
  usual, most, alone, drawn_palms = (
    np.sort(draws, axis=0) for draws in (usual, most, alone, drawn_palms)
  )
  usual, most, drawn_palms = usual[5:7].mean(axis=0), most[9], drawn_palms[9]
  want = (1 - share) * usual + share * most
  np.testing.assert_allclose(thresholds, want, rtol=1e-4 if share < 1 else 1e-6)
  strict = cohort_thresholds.strict(
    scores, rows, columns, rates, np.random.default_rng(2)
  )
  np.testing.assert_allclose(strict, alone[9], rtol=1e-6)
  upper = cohort_thresholds.upper(
    scores, rows, columns, rates, np.random.default_rng(2)
  )
  np.testing.assert_allclose(upper, drawn_palms, rtol=1e-6)
  assert np.diff(thresholds).min() > 0


def drawn_noise(law, rng, count):
  """Noise of pairs with a tail by a law."""
  match law:
    case 'normal':
      return rng.normal(size=count)
    case 'exponential':
      return rng.exponential(size=count)
    case 'logistic':
      return rng.logistic(scale=0.55, size=count)


@pytest.mark.parametrize('law', ['normal', 'exponential', 'logistic'])
@pytest.mark.parametrize(
  'count, cohorts, effect',
  [
    (40, 150, 0.3),
    pytest.param(40, 150, 0.6, marks=pytest.mark.slow),
    pytest.param(80, 60, 0.3, marks=pytest.mark.slow),
    pytest.param(200, 40, 0.3, marks=pytest.mark.slow),
    pytest.param(200, 40, 0.6, marks=pytest.mark.slow),
  ],
)
def test_false_match_rates_of_strangers(count, cohorts, effect, law):
  """s = a_i + a_j + e_ij: palms are more or less like all others."""
  rng = np.random.default_rng(5)
  rows, columns = np.triu_indices(count, 1)
  rates = np.array([1e-2, 1e-3])
  # Of pairs of strangers that share no palm.
  strangers = 3_000_000
  apart = effect * math.sqrt(2) * rng.normal(size=strangers)
  apart = np.sort(apart + drawn_noise(law, rng, strangers))
  rates_of_strangers = []
  for _ in range(cohorts):
    palm = effect * rng.normal(size=count)
    noise = drawn_noise(law, rng, len(rows))
    thresholds = cohort_thresholds.careful(
      palm[rows] + palm[columns] + noise, rows, columns, rates, rng
    )
    rates_of_strangers.append(
      1 - np.searchsorted(apart, thresholds) / strangers
    )
  share = np.array(rates_of_strangers) / rates
  assert ((share <= 2).mean(axis=0) >= 0.95).all()
  if (count, law) == (40, 'normal'):
    assert ((share <= 1).mean(axis=0) >= 0.65).all()
  # Of few palms thresholds are careful, of many near the middle. The law of
  # many is the normal one.
  few = count < 100
  usual = {'normal': 0.5 if effect == 0.6 else 0.4}.get(law, 0.1)
  assert ((share <= 1).mean(axis=0) >= (0.5 if few else usual)).all()
  assert (share.mean(axis=0) >= (0.2 if few else 0.75)).all()
  if not few:
    assert (share.mean(axis=0) <= 1.4).all()
    assert ((share >= 0.5).mean(axis=0) >= 0.8).all()

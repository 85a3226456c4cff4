"""Cohorts against loops in NumPy, and what their thresholds are worth."""

import math

import numpy as np
import pytest
from scipy import stats

from palmjax.inference import cohort, parts
from tests.inference import drawn_palms


@pytest.fixture(autouse=True)
def cheap(monkeypatch):
  """The search for the best shift is not what is tested here."""
  monkeypatch.setattr(parts, 'compare', drawn_palms.cheap_compare)


def palms(count, seed=0, **options):
  rng = np.random.default_rng(seed)
  return drawn_palms.random_templates(rng, count, **options)


def test_no_palm_of_a_pair_is_in_its_mean():
  templates = palms(13, shared=1.0)
  scores = cohort.cross_fitted(templates, np.random.default_rng(7))
  assert scores.shape == (3, 13, 13)
  # The folds, of the same draw.
  folds = np.random.default_rng(7).permutation(13) % 5
  for i in range(13):
    assert np.isnan(scores[:, i, i]).all()
    for j in range(13):
      if i == j:
        continue
      rest = [k for k in range(13) if folds[k] not in (folds[i], folds[j])]
      want = drawn_palms.cheap_compare(
        templates.take([i]),
        templates.take([j]),
        parts.means(templates.take(rest)),
      )
      np.testing.assert_allclose(scores[:, i, j], want[:, 0, 0], atol=1e-6)


def test_scores_of_a_cohort_are_those_of_strangers():
  """In-sample means move scores by −1/(N − 1); cross-fitted ones do not."""
  count = 40
  in_sample, crossed, fresh = [], [], []
  for seed in range(4):
    templates = palms(count + 400, seed, dimension=256, shared=1.0)
    members = templates.take(slice(count))
    strangers = templates.take(slice(count, None))
    means = parts.means(members)
    upper = np.triu_indices(count, 1)
    in_sample.append(parts.compare(members, members, means)[:, *upper].mean(1))
    found = cohort.cross_fitted(members, np.random.default_rng(seed))
    crossed.append(np.nanmean(found, axis=(1, 2)))
    scores = parts.compare(strangers, strangers, means)
    fresh.append(scores[:, *np.triu_indices(400, 1)].mean(1))
  in_sample, crossed, fresh = (
    np.mean(x, axis=0) for x in (in_sample, crossed, fresh)
  )
  np.testing.assert_allclose(in_sample, -1 / (count - 1), rtol=0.05)
  # A mean of N palms is in both palms: strangers' scores rise by 1 / (N + 1).
  np.testing.assert_allclose(fresh, 1 / (count + 1), rtol=0.15)
  # Of 3 or 4 fifths of the palms: a little more, to the careful side.
  least, most = 1 / (0.8 * count + 1), 1 / (0.6 * count + 1)
  assert (crossed > 0.85 * least).all()
  assert (crossed < 1.15 * most).all()


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
  return start + sum(excess) / len(excess) * math.log(tail / fmr)


@pytest.mark.parametrize('count, tail', [(40, 0.05), (90, 150 / 4005)])
def test_thresholds_are_at_the_careful_end(count, tail):
  rng = np.random.default_rng(1)
  rows, columns = np.triu_indices(count, 1)
  scores = rng.normal(size=len(rows))
  rates = (1e-1, 1e-2, 1e-3)
  found = cohort.careful_thresholds(
    scores, rows, columns, rates, np.random.default_rng(2)
  )
  same = np.random.default_rng(2)
  want = []
  for _ in range(200):
    palm = [0] * count
    for k in same.integers(0, count, count):
      palm[k] += 1
    pairs = list(zip(rows.tolist(), columns.tolist(), strict=True))
    want.append(
      [own_threshold(palm, scores, pairs, fmr, tail) for fmr in rates]
    )
  # Of 200 the 180th or so: above it is a tenth.
  want = np.sort(want, axis=0)
  assert (want[178] <= found).all()
  assert (found <= want[180]).all()
  assert np.diff(found).min() > 0


@pytest.mark.parametrize(
  'count, cohorts, effect', [(40, 150, 0.3), (40, 150, 0.6), (200, 100, 0.6)]
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
    thresholds = cohort.careful_thresholds(scores, rows, columns, rates, rng)
    # Of two strangers' palms, by the normal distribution.
    true.append(stats.norm.sf(thresholds, scale=math.sqrt(1 + 2 * effect**2)))
  share = np.array(true) / rates
  assert ((share <= 2).mean(axis=0) >= 0.95).all()
  # With a bootstrap over pairs these were 0.57 of 40 palms and 0.6 of 200.
  assert ((share <= 1).mean(axis=0) >= (0.65 if count < 100 else 0.75)).all()
  # Careful, but not absurd.
  assert (share.mean(axis=0) >= (0.2 if count < 100 else 0.5)).all()


@pytest.mark.parametrize(
  'count, measured, rates',
  [
    (30, 1e-1, (1e-1, 1e-2)),
    (40, 1e-1, (1e-1, 1e-2, 1e-3)),
    (77, 1e-1, (1e-1, 1e-2, 1e-3)),
    (78, 1e-2, (1e-1, 1e-2, 1e-3)),
    (250, 1e-3, (1e-1, 1e-2, 1e-3, 1e-4)),
  ],
)
def test_rates_that_palms_support(count, measured, rates, monkeypatch):
  rng = np.random.default_rng(9)
  monkeypatch.setattr(
    parts, 'compare', lambda a, b, _: rng.normal(size=(3, len(a[2]), len(b[2])))
  )
  found = cohort.fit(palms(count), dataset='numbers')
  pairs = count * (count - 1) // 2
  assert found.pairs == pairs
  assert tuple(rate for rate, _ in found.thresholds) == rates
  assert found.measured == measured
  for rate in rates:
    assert found.threshold(rate) == dict(found.thresholds)[rate]
    # Thirty false matches, or the words for fewer.
    few = 'extrapolated' in found.describe(rate)
    assert few == (rate * pairs < 30)
  assert found.describe(1e-1) == f'{pairs:,} pairs of {count} palms: numbers'
  with pytest.raises(ValueError, match='for an FMR of 1e-5: a cohort of'):
    found.threshold(1e-5)
  rising = [threshold for _, threshold in found.thresholds]
  assert rising == sorted(rising)


def test_standards_are_of_cross_fitted_pairs():
  templates = palms(32, shared=1.0)
  found = cohort.fit(templates, dataset='numbers', seed=3)
  scores = cohort.cross_fitted(templates, np.random.default_rng(3))
  for k in range(3):
    pairs = [scores[k, i, j] for i in range(32) for j in range(32) if i != j]
    assert found.standard.mean[k] == pytest.approx(np.mean(pairs), abs=1e-6)
    assert found.standard.std[k] == pytest.approx(np.std(pairs), rel=1e-5)
  assert found.palms == 32
  assert found.templates.fine.shape == (32, 1, 32, 32, 2)
  np.testing.assert_array_equal(
    found.templates.fine[:, 0], templates.fine[:, 2]
  )
  np.testing.assert_array_equal(found.means.network, templates.network.mean(0))
  again = cohort.fit(templates, dataset='numbers', seed=3)
  assert again.thresholds == found.thresholds


@pytest.mark.parametrize('count', [0, 1, 29])
def test_too_few_palms(count):
  with pytest.raises(ValueError, match=f'^{count} palms: a cohort needs 30'):
    cohort.fit(palms(count), dataset='numbers')

"""Cohorts against loops in NumPy."""

import numpy as np
import pytest

from palmjax.inference import (
  cohort,
  cohort_screen,
  cohort_thresholds,
  parts,
)
from tests.inference import drawn_palms


@pytest.fixture(autouse=True)
def cheap(monkeypatch):
  """The search for the best shift is not what is tested here."""
  drawn_palms.compare_cheaply(monkeypatch)


def palms(count, seed=0, **options):
  rng = np.random.default_rng(seed)
  return drawn_palms.random_templates(rng, count, **options)


def test_no_palm_of_a_pair_is_in_its_mean():
  templates = palms(13, shared=1.0)
  scores = cohort.cross_fitted(templates, np.random.default_rng(7))
  assert scores.shape == (3, 13, 13)
  # The folds, of the same draws.
  same = np.random.default_rng(7)
  of_codes, of_network = (same.permutation(13) % folds for folds in (5, 10))

  def others(folds, i, j):
    return [k for k in range(13) if folds[k] not in (folds[i], folds[j])]

  for i in range(13):
    assert np.isnan(scores[:, i, i]).all()
    for j in range(13):
      if i == j:
        continue
      one, other = (templates.take([k]) for k in (i, j))
      codes = parts.means(templates.take(others(of_codes, i, j)))
      # Whitened in a direction, as by 13 palms; fewer than 10 have none.
      network = parts.network_means(
        templates.take(others(of_network, i, j)), strength=13
      )
      assert len(network.whitening) == 1
      want = [
        *drawn_palms.cheap_code_scores(one, other, codes)[:, 0, 0],
        parts.network_scores(one.network, other.network, network)[0, 0],
      ]
      np.testing.assert_allclose(scores[:, i, j], want, atol=1e-6)


def test_embeddings_are_as_alike_as_those_of_strangers(monkeypatch):
  """A whitening by fewer palms is weaker, and would leave higher scores."""
  # Codes play no part here.
  monkeypatch.setattr(
    parts,
    'code_scores',
    lambda one, other, _: np.zeros((2, len(one[2]), len(other[2]))),
  )
  count, strangers = 200, 600
  members = palms(count)
  reached = []
  for seed in range(20):
    rng = np.random.default_rng(seed)
    # Few directions have most of the variance.
    embeddings = rng.normal(size=(count + strangers, 64))
    embeddings /= 1 + np.arange(64) / 3
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    members = members._replace(network=embeddings[:count].astype(np.float32))
    others = embeddings[count:]
    crossed = cohort.cross_fitted(members, rng)[2]
    scores = parts.network_scores(others, others, parts.network_means(members))
    least = np.quantile(crossed[np.triu_indices(count, 1)], 0.99)
    reached.append(np.mean(scores[np.triu_indices(strangers, 1)] >= least))
  # With the weaker whitening and 5 folds 0.0088.
  assert np.mean(reached) == pytest.approx(0.01, rel=0.07)


def test_scores_of_a_cohort_are_those_of_strangers(monkeypatch):
  """In-sample means move scores by −1/(N − 1); cross-fitted ones do not."""
  monkeypatch.setattr(parts, 'whitening', lambda *_: None)
  count = 40
  in_sample, crossed, fresh = [], [], []
  for seed in range(4):
    templates = palms(count + 400, seed, dimension=256, shared=1.0)
    members = templates.take(slice(count))
    strangers = templates.take(slice(count, None))
    means = parts.means(members)
    upper = np.triu_indices(count, 1)
    in_sample.append(parts.compare(members, members, means)[:, *upper].mean(1))
    pairwise = cohort.cross_fitted(members, np.random.default_rng(seed))
    crossed.append(np.nanmean(pairwise, axis=(1, 2)))
    scores = parts.compare(strangers, strangers, means)
    fresh.append(scores[:, *np.triu_indices(400, 1)].mean(1))
  in_sample, crossed, fresh = (
    np.mean(x, axis=0) for x in (in_sample, crossed, fresh)
  )
  np.testing.assert_allclose(in_sample, -1 / (count - 1), rtol=0.05)
  # A mean of N palms is in both palms: strangers' scores rise by 1 / (N + 1).
  np.testing.assert_allclose(fresh, 1 / (count + 1), rtol=0.15)
  # Of 3 or 4 fifths of the palms, or 8 or 9 tenths for the network: a little
  # more, to the careful side.
  least, most = 1 / (0.8 * count + 1), 1 / (0.6 * count + 1)
  assert (crossed > 0.85 * least).all()
  assert (crossed < 1.15 * most).all()


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
    parts,
    'code_scores',
    lambda a, b, _: rng.normal(size=(2, len(a[2]), len(b[2]))),
  )
  monkeypatch.setattr(
    parts,
    'network_scores',
    lambda a, b, _: rng.normal(size=(len(a), len(b))),
  )
  fitted = cohort.fit(palms(count), dataset='numbers')
  pairs = count * (count - 1) // 2
  assert fitted.pairs == pairs
  assert tuple(rate for rate, _ in fitted.thresholds) == rates
  assert fitted.measured == measured
  for rate in rates:
    assert fitted.threshold(rate) == dict(fitted.thresholds)[rate]
    # Thirty false matches, or the words for fewer.
    few = 'extrapolated' in fitted.describe(rate)
    assert few == (rate * pairs < 30)
  assert fitted.describe(1e-1) == f'{pairs:,} pairs of {count} palms: numbers'
  with pytest.raises(ValueError, match='for an FMR of 1e-5: a cohort of'):
    fitted.threshold(1e-5)
  rising = [threshold for _, threshold in fitted.thresholds]
  assert rising == sorted(rising)


def test_standards_are_of_cross_fitted_pairs():
  templates = palms(32, shared=1.0)
  fitted = cohort.fit(templates, dataset='numbers', seed=3)
  scores = cohort.cross_fitted(templates, np.random.default_rng(3))
  upper = np.triu_indices(32, 1)
  for got, want in zip(
    fitted.standard, parts.standard(scores[:, *upper], 32), strict=True
  ):
    np.testing.assert_allclose(got, want, rtol=1e-6)
  # Fused scores fall off by e a unit.
  rng = np.random.default_rng(3)
  impostors = cohort.cross_fitted(templates, rng)[:, *upper]
  thresholds = cohort_thresholds.careful(
    parts.fuse(impostors, fitted.standard),
    *upper,
    [rate for rate, _ in fitted.thresholds],
    rng,
    typical=1.0,
  )
  np.testing.assert_allclose([t for _, t in fitted.thresholds], thresholds)
  assert fitted.palms == 32
  assert fitted.templates.fine.shape == (32, 1, 32, 32, 2)
  np.testing.assert_array_equal(
    fitted.templates.fine[:, 0], templates.fine[:, 2]
  )
  np.testing.assert_array_equal(fitted.means.network, templates.network.mean(0))
  again = cohort.fit(templates, dataset='numbers', seed=3)
  assert again.thresholds == fitted.thresholds


@pytest.mark.parametrize('count', [0, 1, 29])
def test_too_few_palms(count):
  with pytest.raises(ValueError, match=f'^{count} palms: a cohort needs 30'):
    cohort.fit(palms(count), dataset='numbers')


@pytest.mark.parametrize('number', [np.nan, np.inf])
@pytest.mark.parametrize(
  'use', [cohort_screen.screen, cohort_screen.require_clean]
)
def test_embeddings_that_are_not_finite(number, use):
  templates = palms(32)
  templates.network[[7, 9], 3] = number
  message = r'^images\[7\]: its embedding has NaN or infinity, as those of 2 of'
  with pytest.raises(ValueError, match=message):
    use(templates)
  with pytest.raises(ValueError, match=message):
    cohort.fit(templates, dataset='numbers')

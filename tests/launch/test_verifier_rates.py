"""Shares of strangers that pass, against loops in NumPy."""

import types

import numpy as np
import pytest

from launch import verifier_rates
from palmjax.inference import cohort, parts, uncalibrated
from tests.inference import drawn_palms

FMRS = (1e-1, 1e-2)
COUNT, STRANGERS, COHORTS, SIZES = 70, 24, 3, (32, 40)
STANDARD = parts.Standard((0.0, 0.02), (0.05, 0.04))


def before(fmr):
  """Thresholds of the network alone."""
  return {1e-1: 0.3, 1e-2: 0.5}[fmr]


@pytest.fixture
def table(monkeypatch):
  """(templates, what `verifier_rates.rates` says of them)."""
  drawn_palms.compare_cheaply(monkeypatch)
  monkeypatch.setattr(verifier_rates, 'FMRS', FMRS)
  monkeypatch.setattr(verifier_rates, 'COHORTS', COHORTS)
  monkeypatch.setattr(verifier_rates, 'STRANGERS', STRANGERS)
  # Random numbers are less alike than palms.
  monkeypatch.setattr(uncalibrated, 'STANDARD', STANDARD)
  rng = np.random.default_rng(100)
  templates = drawn_palms.random_templates(rng, COUNT, shared=0.5)
  judge = types.SimpleNamespace(threshold=before)
  return templates, verifier_rates.rates('d', templates, SIZES, judge)


def fused(scores, standard):
  """log of the mean of exp of the standardised scores."""
  terms = [
    np.exp((score - mean) / std)
    for score, mean, std in zip(scores, *standard, strict=False)
  ]
  return np.log(sum(terms) / len(terms))


def passing(templates, indices, means, reaches):
  """The share of ordered pairs of different palms that `reaches` is true of."""
  hits = [
    reaches(
      drawn_palms.cheap_compare(
        templates.take([i]), templates.take([j]), means
      )[:, 0, 0].astype(np.float64)
    )
    for i in indices
    for j in indices
    if i != j
  ]
  return sum(hits) / len(hits)


def test_strangers_without_a_cohort(table):
  templates, rows = table
  none = parts.no_means(16)
  for fmr in FMRS:
    column, everybody = f'FMR for {fmr:g}', range(COUNT)
    alone = passing(
      templates, everybody, none, lambda s, f=fmr: s[2] >= before(f)
    )
    assert alone > 0
    assert rows['d; network alone'][column] == {'mean': pytest.approx(alone)}
    of_codes = passing(
      templates,
      everybody,
      none,
      lambda s, f=fmr: fused(s[:2], STANDARD) >= uncalibrated.threshold(f),
    )
    assert of_codes > 0
    assert rows['d; no cohort'][column] == {'mean': pytest.approx(of_codes)}


def test_strangers_of_random_cohorts(table):
  templates, rows = table
  rng = np.random.default_rng(0)
  assert len(rows) == 2 + len(SIZES)
  for size in SIZES:
    each = {fmr: [] for fmr in FMRS}
    for seed in range(COHORTS):
      order = rng.permutation(COUNT)
      camera = cohort.fit(templates.take(order[:size]), dataset='', seed=seed)
      rest = [i for i in order if i not in order[:size]][:STRANGERS]
      for fmr in FMRS:
        share = passing(
          templates,
          rest,
          camera.means,
          lambda s, c=camera, f=fmr: fused(s, c.standard) >= c.threshold(f),
        )
        each[fmr].append(share)
    row = rows[f'd; {COHORTS} cohorts of {size}']
    assert len(set(each[1e-1])) > 1
    for fmr, shares in each.items():
      assert row[f'FMR for {fmr:g}'] == {
        'mean': pytest.approx(np.mean(shares)),
        'std': pytest.approx(np.std(shares)),
      }
      assert row[f'least for {fmr:g}'] == {'mean': pytest.approx(min(shares))}
      assert row[f'most for {fmr:g}'] == {'mean': pytest.approx(max(shares))}

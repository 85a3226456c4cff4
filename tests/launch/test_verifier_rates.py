"""Shares of strangers that pass, against loops in NumPy."""

import types

import numpy as np
import pytest

from launch import verifier_rates
from palmjax.inference import (
  cohort,
  cohort_thresholds,
  parts,
  uncalibrated,
)
from tests.inference import drawn_palms

FMRS = (1e-1, 1e-2)
COUNT, STRANGERS, COHORTS, SIZES = 70, 24, 3, (32, 40)
STANDARD = parts.Standard((0.0, 0.02), (0.05, 0.04))


def before(fmr):
  """Thresholds of the network alone."""
  return {1e-1: 0.3, 1e-2: 0.5}[fmr]


@pytest.fixture
def small(monkeypatch):
  """Codes are compared cheaply, by few cohorts."""
  drawn_palms.compare_cheaply(monkeypatch)
  monkeypatch.setattr(verifier_rates, 'FMRS', FMRS)
  monkeypatch.setattr(verifier_rates, 'COHORTS', COHORTS)
  monkeypatch.setattr(verifier_rates, 'STRANGERS', STRANGERS)


@pytest.fixture
def table(small, monkeypatch):
  """(templates, what `verifier_rates.rates` says of them)."""
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


def test_strangers_at_thresholds_that_other_palms_set(small, monkeypatch):
  monkeypatch.setattr(cohort_thresholds, 'DRAWS', 11)
  # An odd number: the half that is tested has one palm more. The other half is
  # not so small that all thresholds are the strict ones.
  count = 83
  templates = drawn_palms.random_templates(np.random.default_rng(101), count)
  row = verifier_rates.held_out(templates)

  by_codes = drawn_palms.cheap_code_scores(
    templates, templates, parts.no_means(16)
  ).astype(np.float64)

  def scores_among(palms):
    """[P, 2] scores of ordered pairs of different palms."""
    return np.array([by_codes[:, i, j] for i in palms for j in palms if i != j])

  rng = np.random.default_rng(0)
  each = {fmr: [] for fmr in FMRS}
  for _ in range(COHORTS):
    order = rng.permutation(count)
    known, strangers = scores_among(order[:41]), scores_among(order[41:])
    standard = known.mean(axis=0), known.std(axis=0)
    thresholds = cohort_thresholds.strict(
      np.array([fused(pair, standard) for pair in known]),
      *np.array([(i, j) for i in range(41) for j in range(41) if i != j]).T,
      FMRS,
      rng,
    )
    for fmr, threshold in zip(FMRS, thresholds, strict=True):
      hits = [fused(pair, standard) >= threshold for pair in strangers]
      each[fmr].append(sum(hits) / len(hits))
  assert len(set(each[1e-1])) > 1
  assert max(each[1e-2]) > 0
  for fmr, shares in each.items():
    assert row.pop(f'FMR for {fmr:g}') == {
      'mean': pytest.approx(np.mean(shares)),
      'std': pytest.approx(np.std(shares)),
    }
    assert row.pop(f'least for {fmr:g}') == {'mean': pytest.approx(min(shares))}
    assert row.pop(f'most for {fmr:g}') == {'mean': pytest.approx(max(shares))}
  assert not row

"""Errors of several sets of palms and their differences, against loops."""

import itertools
import types

import numpy as np
import pytest

from launch import verifier_errors
from palmjax.evals import bootstrap
from palmjax.inference import uncalibrated

IDENTITIES, IMAGES, FMR = 12, 3, 0.1
# Rule of 3 of the palms of two sets.
UNSEEN = 1 - 0.05 ** (1 / (2 * IDENTITIES))
COUNT, DRAWS = IDENTITIES * IMAGES, 60
LABELS = np.arange(COUNT) // IMAGES
# How much genuine pairs score above those of strangers.
GAPS = {'network alone': 1.0, 'fused, no cohort': 3.0, 'fused, cohort': 2.0}
THRESHOLDS = {
  'network alone': 0.5,
  'fused, no cohort': 1.5,
  'fused, cohort': 1.0,
}


@pytest.fixture
def sets(monkeypatch):
  """Two sets of {score: [N, N]}, not the same from both sides of a pair."""
  monkeypatch.setattr(verifier_errors, 'FMRS', (FMR, 1e-3))
  few = bootstrap.Resampling(draws=DRAWS)
  monkeypatch.setattr(bootstrap, 'DEFAULT', few)
  rng = np.random.default_rng(0)
  same = LABELS[:, None] == LABELS
  return [
    {
      name: rng.normal(size=(COUNT, COUNT)) + gap * same
      for name, gap in GAPS.items()
    }
    for _ in range(2)
  ]


@pytest.fixture
def sampled(sets):
  return [
    verifier_errors.resample(scores, LABELS, k) for k, scores in enumerate(sets)
  ]


def pairs_of(matrix):
  """[(score, identity, identity)] of pairs that count once, falling scores."""
  pairs = []
  for i in range(COUNT):
    for j in range(i + 1, COUNT):
      score = (matrix[i, j] + matrix[j, i]) / 2
      pairs.append((score, i // IMAGES, j // IMAGES))
  return sorted(pairs, reverse=True)


def points(pairs, times):
  """[(FMR, FNMR)] at falling thresholds, identity i there `times[i]` times."""
  # Two draws of one identity make no pair of strangers.
  weights = [times[a] * (1 if a == b else times[b]) for _, a, b in pairs]
  genuine = impostor = 0
  counts = [(0, 0)]
  for (_, a, b), weight in zip(pairs, weights, strict=True):
    genuine, impostor = (
      (genuine + weight, impostor) if a == b else (genuine, impostor + weight)
    )
    counts.append((genuine, impostor))
  return [(i / impostor, 1 - g / genuine) for g, i in counts]


def equal_error_rate(curve):
  """Where the line through the points meets FMR = FNMR."""
  for (fmr, fnmr), (next_fmr, next_fnmr) in itertools.pairwise(curve):
    if next_fmr >= next_fnmr:
      before, after = fnmr - fmr, next_fmr - next_fnmr
      return fmr + (next_fmr - fmr) * before / (before + after)
  raise AssertionError('the last point accepts all pairs')


def rate_at_fmr(curve):
  """The least FNMR of the points whose FMR is at most `FMR`."""
  return min(fnmr for fmr, fnmr in curve if fmr <= FMR)


# What is read of a curve, by the name of its column.
COLUMNS = {'eer': equal_error_rate, 'fnmr@fmr=1e-1': rate_at_fmr}


def mean_of_sets(sets, name, column, draw):
  """The mean rate of a draw; `draw` is None for all palms once.

  Each set is resampled by itself.
  """
  rates = []
  for seed, scores in enumerate(sets):
    times = [1] * IDENTITIES
    if draw is not None:
      resampling = bootstrap.Resampling(draws=DRAWS, seed=seed)
      times = bootstrap.draw(IDENTITIES, resampling)[draw].tolist()
    rates.append(COLUMNS[column](points(pairs_of(scores[name]), times)))
  return np.mean(rates)


@pytest.mark.parametrize('column', COLUMNS)
def test_differences_between_scores(sets, sampled, column):
  def difference(name, draw):
    fused, other = (
      mean_of_sets(sets, score, column, draw)
      for score in ('fused, cohort', name)
    )
    return fused - other

  differences = verifier_errors.differences(sampled)
  names = ['network alone', 'fused, no cohort']
  assert list(differences) == [f'fused, cohort, less {name}' for name in names]
  for name in names:
    row = differences[f'fused, cohort, less {name}'][column]
    value = difference(name, None)
    drawn = sorted(difference(name, draw) for draw in range(DRAWS))
    # The expanded tail of 24 identities is 1.7 %, a little more than one of 60.
    assert row == {
      'mean': pytest.approx(value, abs=1e-9),
      'low': pytest.approx(drawn[1], abs=1e-9),
      'high': pytest.approx(drawn[-2], abs=1e-9),
    }
    assert row['low'] < row['mean'] < row['high']
  # The score that tells palms apart best has the fewest errors.
  better, worse = (
    differences[f'fused, cohort, less {name}'][column] for name in names
  )
  assert better['high'] < 0 < worse['low']


def test_errors_of_all_pairs(sets, sampled):
  errors = verifier_errors.errors(sampled)
  assert list(errors) == list(GAPS)
  for name in GAPS:
    # 594 pairs of strangers make less than 30 false matches at 1e-3.
    assert list(errors[name]) == list(COLUMNS)
    for column, rate in errors[name].items():
      drawn = sorted(
        mean_of_sets(sets, name, column, draw) for draw in range(DRAWS)
      )
      mean = mean_of_sets(sets, name, column, None)
      assert rate == {
        'mean': pytest.approx(mean, abs=1e-9),
        'low': pytest.approx(drawn[1], abs=1e-9),
        'high': pytest.approx(drawn[-2] if mean else UNSEEN, abs=1e-9),
      }


def test_without_errors_the_interval_reaches_to_the_rule_of_3(sets):
  same = LABELS[:, None] == LABELS
  apart = [{'perfect': scores['network alone'] + 9 * same} for scores in sets]
  errors = verifier_errors.errors(
    [
      verifier_errors.resample(scores, LABELS, k)
      for k, scores in enumerate(apart)
    ]
  )
  assert errors['perfect']['eer'] == {
    'mean': 0.0,
    'low': 0.0,
    'high': pytest.approx(UNSEEN),
  }


def thresholds():
  """A cohort and a verifier of the network alone, with thresholds for 1e-3."""
  return (
    types.SimpleNamespace(threshold={1e-3: THRESHOLDS[name]}.get)
    for name in ('fused, cohort', 'network alone')
  )


def test_errors_at_the_threshold_of_each_score(sets, monkeypatch):
  scores = sets[0]
  without = THRESHOLDS['fused, no cohort']
  monkeypatch.setattr(uncalibrated, 'THRESHOLDS', ((1e-3, without),))
  scores['tried'] = scores['fused, cohort']
  # A score on the threshold passes.
  scores['network alone'][0, 1] = THRESHOLDS['network alone']
  scores['network alone'][0, 5] = THRESHOLDS['network alone']
  errors = verifier_errors.decisions(scores, LABELS, *thresholds())
  for name, threshold in THRESHOLDS.items():
    passed, refused, strangers, genuine = 0, 0, 0, 0
    for i in range(COUNT):
      for j in range(COUNT):
        if i // IMAGES != j // IMAGES:
          strangers += 1
          passed += scores[name][i, j] >= threshold
        elif i != j:
          genuine += 1
          refused += scores[name][i, j] < threshold
    assert errors[name] == {
      'FMR at its threshold': pytest.approx(passed / strangers),
      'FNMR at its threshold': pytest.approx(refused / genuine),
    }
    assert passed > 0
    assert refused > 0
  assert 'tried' not in errors


def test_decisions_of_two_sets():
  decisions = [{'fused': {'FMR': 0.1}}, {'fused': {'FMR': 0.4}}]
  assert verifier_errors.mean_decisions(decisions) == {
    'fused': {'FMR': {'mean': pytest.approx(0.25)}}
  }

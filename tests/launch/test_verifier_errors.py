"""Errors of `launch.verifier` and their differences, against loops."""

import functools
import itertools
import types

import numpy as np
import pytest

from launch import verifier
from palmjax.evals import bootstrap
from palmjax.evals.recognition import verification
from palmjax.inference import uncalibrated

IDENTITIES, IMAGES, FMR = 12, 3, 0.1
COUNT, DRAWS = IDENTITIES * IMAGES, 60
# How much genuine pairs score above those of strangers.
GAPS = {'network alone': 1.0, 'fused, no cohort': 3.0, 'fused, cohort': 2.0}
THRESHOLDS = {
  'network alone': 0.5,
  'fused, no cohort': 1.5,
  'fused, cohort': 1.0,
}


@pytest.fixture
def scores(monkeypatch):
  """{score: [N, N]}, in which a pair scores otherwise the other way round."""
  monkeypatch.setattr(verifier, 'IDENTITIES', IDENTITIES)
  monkeypatch.setattr(verifier, 'IMAGES', IMAGES)
  monkeypatch.setattr(verifier, 'FMRS', (FMR, 1e-3))
  few = bootstrap.Resampling(draws=DRAWS)
  monkeypatch.setattr(bootstrap, 'DEFAULT', few)
  with_few = functools.partial(verification.fnmr_rates, resampling=few)
  monkeypatch.setattr(verification, 'fnmr_rates', with_few)
  rng = np.random.default_rng(0)
  labels = np.arange(COUNT) // IMAGES
  same = labels[:, None] == labels
  return {
    name: rng.normal(size=(COUNT, COUNT)) + gap * same
    for name, gap in GAPS.items()
  }


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


def test_differences_of_equal_error_rates(scores):
  pairs = {name: pairs_of(matrix) for name, matrix in scores.items()}
  resamples = bootstrap.draw(IDENTITIES, bootstrap.Resampling(draws=DRAWS))

  def difference(name, times):
    fused, other = (
      equal_error_rate(points(pairs[score], times))
      for score in ('fused, cohort', name)
    )
    return fused - other

  differences = verifier.measure_differences(scores)
  names = ['network alone', 'fused, no cohort']
  assert list(differences) == [f'fused, cohort, less {name}' for name in names]
  for name in names:
    row = differences[f'fused, cohort, less {name}']
    value = difference(name, [1] * IDENTITIES)
    drawn = sorted(difference(name, times.tolist()) for times in resamples)
    # The expanded tail of 12 identities is 1.07 %, less than one draw of 60.
    assert row == {
      'mean': pytest.approx(value, abs=1e-9),
      'low': pytest.approx(drawn[0], abs=1e-9),
      'high': pytest.approx(drawn[-1], abs=1e-9),
    }
    assert row['low'] < drawn[1] < row['mean'] < drawn[-2] < row['high']
  # The score that tells palms apart best has the smallest EER.
  better, worse = (differences[f'fused, cohort, less {n}'] for n in names)
  assert better['high'] < 0 < worse['low']


def test_errors_of_all_pairs(scores):
  errors = verifier.measure_errors(scores, *thresholds())
  assert list(errors) == list(scores)
  for name, matrix in scores.items():
    curve = points(pairs_of(matrix), [1] * IDENTITIES)
    # 594 pairs of strangers make less than 30 false matches at 1e-3.
    measured = {k for k in errors[name] if not k.endswith('at its threshold')}
    assert measured == {'eer', 'fnmr@fmr=1e-1'}
    for column, value in {
      'eer': equal_error_rate(curve),
      'fnmr@fmr=1e-1': min(fnmr for fmr, fnmr in curve if fmr <= FMR),
    }.items():
      rate = errors[name][column]
      assert set(rate) == {'mean', 'low', 'high'}
      assert rate['mean'] == pytest.approx(value, abs=1e-9)
      assert 0 <= rate['low'] <= rate['mean'] <= rate['high'] < 1
      assert rate['low'] < rate['high']


def thresholds():
  """A cohort and a verifier of the network alone, with thresholds for 1e-3."""
  return (
    types.SimpleNamespace(threshold={1e-3: THRESHOLDS[name]}.get)
    for name in ('fused, cohort', 'network alone')
  )


def test_errors_at_the_threshold_of_each_score(scores, monkeypatch):
  without = THRESHOLDS['fused, no cohort']
  monkeypatch.setattr(uncalibrated, 'THRESHOLDS', ((1e-3, without),))
  scores['tried'] = scores['fused, cohort']
  # A score on the threshold passes.
  scores['network alone'][0, 1] = THRESHOLDS['network alone']
  scores['network alone'][0, 5] = THRESHOLDS['network alone']
  errors = verifier.measure_errors(scores, *thresholds())
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
    assert errors[name]['FMR at its threshold'] == {
      'mean': pytest.approx(passed / strangers)
    }
    assert errors[name]['FNMR at its threshold'] == {
      'mean': pytest.approx(refused / genuine)
    }
    assert passed > 0
    assert refused > 0
  assert not any('threshold' in column for column in errors['tried'])

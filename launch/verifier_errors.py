"""Error rates of scores on several sets of palms; for `launch.verifier`.

Palms of two sets are not compared, and each set is resampled by itself. Rates
are means of the sets. Intervals are over the identities of all sets.
"""

import dataclasses
from typing import NamedTuple

import numpy as np

from palmjax.evals import bootstrap
from palmjax.evals.recognition import error_rates, verification
from palmjax.inference import uncalibrated

# At which FNMR is read.
FMRS = (1e-3, 1e-4)


class Sampled(NamedTuple):
  """Errors of one score on one set of palms.

  Attributes:
    values: {column: float}.
    resamples: {column: float [R]}.
    palms: how many identities the set has.
  """

  values: dict
  resamples: dict
  palms: int


def resample(scores, labels, seed):
  """Errors of each score on one set, and of resampled identities.

  Args:
    scores: {score: [N, N]} of test palms.
    labels: int [N], the identity of each.
    seed: of the resamples, which are the same for all scores.

  Returns:
    {score: `Sampled`} with columns 'eer' and 'fnmr@fmr=…', those that the rule
    of 30 allows.
  """
  pairs = [
    verification.matrix_scores((matrix + matrix.T) / 2, labels)
    for matrix in scores.values()
  ]
  strangers = len(pairs[0].impostor)
  fmrs = [fmr for fmr in FMRS if error_rates.is_measurable(fmr, strangers)]
  columns = ['eer', *map(verification.fnmr_name, fmrs)]
  values, resamples = bootstrap.resample(
    pairs, fmrs, dataclasses.replace(bootstrap.DEFAULT, seed=seed)
  )
  for rates in (values, resamples):
    rates[..., 1:] = 1.0 - rates[..., 1:]  # FNMR of TAR.
  return {
    name: Sampled(
      dict(zip(columns, values[k], strict=True)),
      dict(zip(columns, resamples[k].T, strict=True)),
      len(np.unique(labels)),
    )
    for k, name in enumerate(scores)
  }


def _mean(sets, score):
  """`Sampled` of one score, the mean over the sets."""
  each = [one[score] for one in sets]
  values, resamples = (
    {name: np.mean([part[name] for part in parts], axis=0) for name in parts[0]}
    for parts in (
      [one.values for one in each],
      [one.resamples for one in each],
    )
  )
  return Sampled(values, resamples, sum(one.palms for one in each))


def differences(sets):
  """Errors of 'fused, cohort' less those of each other score.

  Args:
    sets: list of {score: `Sampled`}, as of `resample`.

  Returns:
    {'fused, cohort, less SCORE': {column: {'mean', 'low', 'high'}}}; below 0
    the fused score is better.
  """
  fused, rows = _mean(sets, 'fused, cohort'), {}
  for name in sets[0]:
    if name == 'fused, cohort':
      continue
    other, row = _mean(sets, name), {}
    for column, value in fused.values.items():
      difference = value - other.values[column]
      low, high = bootstrap.difference_bounds(
        fused.resamples[column] - other.resamples[column],
        difference,
        bootstrap.DEFAULT.confidence,
        num_independent=fused.palms,
      )
      row[column] = _rate(difference, low, high)
    rows[f'fused, cohort, less {name}'] = row
  return rows


def errors(sets):
  """Error rates of each score, means of the sets.

  Args:
    sets: as of `differences`.

  Returns:
    {score: {column: {'mean', 'low', 'high'}}}.
  """
  rows = {}
  for name in sets[0]:
    mean = _mean(sets, name)
    values = np.array(list(mean.values.values()))
    lows, highs = bootstrap.bounds(
      np.stack(list(mean.resamples.values()), axis=1),
      values,
      bootstrap.DEFAULT.confidence,
      num_independent=mean.palms,
      best=np.zeros(len(values)),
    )
    rows[name] = {
      column: _rate(*rate)
      for column, *rate in zip(mean.values, values, lows, highs, strict=True)
    }
  return rows


def _rate(mean, low, high):
  return {'mean': float(mean), 'low': float(low), 'high': float(high)}


def decisions(scores, labels, camera, before):
  """Errors at the threshold for 1e-3 that comes with a score: what users get.

  Args:
    scores, labels: as of `resample`.
    camera: `cohort.Cohort`, has the threshold of 'fused, cohort'.
    before: `verifier.Verifier` of the network alone, has that of 'network
      alone'.

  Returns:
    {score: {'FMR at its threshold', 'FNMR at its threshold'}} of three scores.
  """
  same = labels[:, None] == labels
  strangers, genuine = ~same, same & ~np.eye(len(labels), dtype=bool)
  return {
    name: {
      'FMR at its threshold': np.mean(scores[name][strangers] >= threshold),
      'FNMR at its threshold': np.mean(scores[name][genuine] < threshold),
    }
    for name, threshold in (
      ('network alone', before.threshold(1e-3)),
      ('fused, no cohort', uncalibrated.threshold(1e-3)),
      ('fused, cohort', camera.threshold(1e-3)),
    )
  }


def mean_decisions(each):
  """Means of the sets, of what `decisions` says of each.

  Args:
    each: list of {score: {column: float}}.

  Returns:
    {score: {column: {'mean'}}}.
  """
  return {
    score: {
      column: {'mean': float(np.mean([one[score][column] for one in each]))}
      for column in columns
    }
    for score, columns in each[0].items()
  }

"""Error rates of chosen pairs, with intervals by a bootstrap over identities.

`evals.recognition.verification` counts all pairs. Where a pair is dear, as one
that is attacked is, a few are chosen: of each identity a genuine pair, and an
impostor pair with one other identity. A resample draws identities, identity i
coming w_i times (`evals.bootstrap`). A genuine pair of i counts w_i times, an
impostor pair of i and j counts w_i w_j times.
"""

from typing import NamedTuple

import numpy as np

from palmjax.evals import bootstrap
from palmjax.evals.recognition import error_rates

NAMES = ('eer', 'fnmr', 'fmr')


class ChosenPairs(NamedTuple):
  """Similarities of some pairs of K identities.

  Attributes:
    genuine: float [G].
    impostor: float [I].
    genuine_identity: int [G] in 0..K-1.
    impostor_identity: int [2, I], both sides of the pair.
  """

  genuine: np.ndarray
  impostor: np.ndarray
  genuine_identity: np.ndarray
  impostor_identity: np.ndarray


def rates(pairs, *, threshold, resampling=bootstrap.DEFAULT):
  """EER, and FNMR and FMR at a threshold.

  Args:
    pairs: `ChosenPairs`.
    threshold: a pair is accepted from this similarity on; it is not resampled.
      A text says why there is none.
    resampling: of the intervals.

  Returns:
    {'eer', 'fnmr', 'fmr'}, each {'value', 'low', 'high'}, or {'value': None,
    'reason': …} where there is no threshold.

  Raises:
    ValueError: a kind of pair is missing, or a score is not finite.
  """
  count = _count(pairs)
  values = _values(pairs, threshold, np.ones(count, int))
  resamples = np.array(
    [_values(pairs, threshold, w) for w in _draws([pairs], resampling)]
  )
  low, high = bootstrap.bounds(
    resamples,
    values,
    resampling.confidence,
    num_independent=count,
    # All right, or all wrong: every resample agrees.
    best=(values == 1.0).astype(float),
  )
  metrics = error_rates.metrics(NAMES[: len(values)], values, low, high)
  missing = {'value': None, 'reason': threshold}
  return {name: metrics.get(name, missing) for name in NAMES}


def eer_difference(pairs, baseline, *, resampling=bootstrap.DEFAULT):
  """EER minus that of a baseline on the same pairs; each draw is of both.

  Args:
    pairs, baseline: `ChosenPairs` of the same identities.
    resampling: of the interval.

  Returns:
    {'value', 'low', 'high'}, see `bootstrap.difference_bounds`, or {'value':
    None, 'reason': …} with too few identities.
  """
  count = _count(pairs)
  if count < bootstrap.MIN_IDENTITIES:
    return {
      'value': None,
      'reason': f'not measurable with {count} identities',
    }

  def difference(weights):
    return _eer(pairs, weights) - _eer(baseline, weights)

  value = difference(np.ones(count, int))
  resamples = [difference(w) for w in _draws([pairs, baseline], resampling)]
  low, high = bootstrap.difference_bounds(
    np.array(resamples),
    value,
    resampling.confidence,
    num_independent=count,
    # One network, compared with itself.
    alike=np.array_equal(pairs.genuine, baseline.genuine)
    and np.array_equal(pairs.impostor, baseline.impostor),
  )
  return {'value': float(value), 'low': float(low), 'high': float(high)}


def _count(pairs):
  sides = pairs.genuine_identity, pairs.impostor_identity.ravel()
  return 1 + int(np.concatenate(sides).max())


def _draws(models, resampling):
  """Weights [K] of each draw that has pairs of both kinds."""
  for weights in bootstrap.draw(_count(models[0]), resampling):
    if all(all(map(np.any, _times(pairs, weights))) for pairs in models):
      yield weights


def _times(pairs, weights):
  """How often each genuine and each impostor pair counts."""
  first, second = pairs.impostor_identity
  return weights[pairs.genuine_identity], weights[first] * weights[second]


def _eer(pairs, weights):
  genuine, impostor = _times(pairs, weights)
  return error_rates.eer(
    np.repeat(pairs.genuine, genuine), np.repeat(pairs.impostor, impostor)
  )


def _values(pairs, threshold, weights):
  """[EER], or [EER, FNMR, FMR] with a threshold."""
  if isinstance(threshold, str):
    return np.array([_eer(pairs, weights)])
  genuine, impostor = _times(pairs, weights)
  return np.array(
    [
      _eer(pairs, weights),
      np.average(pairs.genuine < threshold, weights=genuine),
      np.average(pairs.impostor >= threshold, weights=impostor),
    ]
  )

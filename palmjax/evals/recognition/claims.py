"""What thresholds that were set elsewhere do here: FMR claimed, FMR found.

A threshold t comes with the false match rate that it was set for, on other
palms. On the pairs at hand

  FMR(t) = #{impostor s ≥ t} / #impostor
  FNMR(t) = #{genuine s < t} / #genuine

with intervals by the bootstrap over identities of `evals.bootstrap`, t fixed.
"""

import numpy as np
from scipy import sparse

from palmjax.evals import bootstrap
from palmjax.evals.recognition import error_rates


def rates(scores, thresholds, *, resampling=bootstrap.DEFAULT):
  """Error rates at the threshold of each claim.

  Args:
    scores: `verification.PairScores`.
    thresholds: {FMR claimed: threshold, or a text that says why there is none}.
    resampling: of the interval.

  Returns:
    {'fmr@claimed=1e-3': …, 'fnmr@claimed=1e-3': …}, each {'value', 'low',
    'high'}, or {'value': None, 'reason': …}: there is no threshold, or too few
    impostor pairs to measure the FMR that is claimed (rule of 30).
  """
  cells = {}
  weights = bootstrap.draw_with_pairs(
    scores.images, resampling, within=scores.within
  )
  pairs = bootstrap.num_pairs(weights, scores.images, scores.within)
  for fmr, threshold in thresholds.items():
    names = fmr_name(fmr), fnmr_name(fmr)
    if isinstance(threshold, str):
      cells |= {name: {'value': None, 'reason': threshold} for name in names}
      continue
    cells[names[0]] = _fmr(scores, threshold, weights, pairs[1], resampling)
    cells[names[1]] = _fnmr(scores, threshold, weights, pairs[0], resampling)
    if not error_rates.is_measurable(fmr, len(scores.impostor)):
      cells[names[0]] = {
        'value': None,
        'reason': f'not measurable with {len(scores.impostor)} pairs',
      }
  return cells


def _fmr(scores, threshold, weights, pairs, resampling):
  """Each matched pair (i, j) counts w_i w_j times."""
  count = len(scores.images)
  first, second = scores.impostor_identity[:, scores.impostor >= threshold]
  matches = sparse.coo_array(
    (np.ones(len(first), np.int64), (first, second)), shape=(count, count)
  ).tocsr()
  matched = ((matches @ weights.T).T * weights).sum(axis=1)
  value = len(first) / len(scores.impostor)
  return _interval(matched / pairs, value, count, resampling)


def _fnmr(scores, threshold, weights, pairs, resampling):
  count = len(scores.images)
  identities = scores.genuine_identity
  missed = np.bincount(identities[scores.genuine < threshold], minlength=count)
  value = missed.sum() / len(identities)
  known = np.count_nonzero(np.bincount(identities))
  return _interval(weights @ missed / pairs, value, known, resampling)


def _interval(resamples, value, identities, resampling):
  low, high = bootstrap.bounds(
    resamples[:, None],
    np.array([value]),
    resampling.confidence,
    num_independent=identities,
    best=np.zeros(1),
  )
  return {'value': float(value), 'low': float(low[0]), 'high': float(high[0])}


def fmr_name(fmr):
  """'fmr@claimed=1e-3' for 0.001."""
  return f'fmr@claimed={error_rates.short(fmr)}'


def fnmr_name(fmr):
  """'fnmr@claimed=1e-3' for 0.001."""
  return f'fnmr@claimed={error_rates.short(fmr)}'

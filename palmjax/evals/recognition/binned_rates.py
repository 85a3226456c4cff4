"""Error rates from counted pairs (`streaming`), with intervals.

Every rate is exactly that of similarities rounded down to multiples of 2^-15,
so every threshold is within 2^-15 of that of the similarities themselves.

Intervals resample identities (`evals.bootstrap`), on the impostor side to first
order: of the M pairs at or above a threshold t, m_i have identity i on a side,
and of all P pairs p_i. Where i comes w_i times, near t

  FMR*(s) ≈ c FMR(s),   c = (Σ w_i m_i / Σ m_i)² / (Σ w_i p_i / Σ p_i)²

What this leaves out is the chance of single pairs beyond that of their two
identities; it matters where M is a few dozen.
"""

from collections.abc import Sequence

import numpy as np

from palmjax.evals import bootstrap
from palmjax.evals.recognition import error_rates, streaming, verification


def rates(
  counts: streaming.Counts,
  embeddings,
  labels,
  *,
  fmrs: Sequence[float] = verification.FMRS,
  resampling=bootstrap.DEFAULT,
) -> dict:
  """EER and FNMR@FMR with bootstrap intervals over identities.

  Args:
    counts: of these embeddings, from `streaming.count_pairs`.
    embeddings: float [N, D], compared once more: who makes the false matches?
    labels: integer [N].
    fmrs: false match rates, each in (0, 1).
    resampling: of the interval.

  Returns:
    {'eer': …, 'fnmr@fmr=1e-4': …}, each {'value', 'low', 'high'} or {'value':
    None, 'reason': …}, as `verification.fnmr_rates` of the rounded scores.
  """
  if not all(0.0 < fmr < 1.0 for fmr in fmrs):
    raise ValueError('A false match rate must lie between 0 and 1.')
  num_impostor = int(counts.impostor.sum())
  measured = [f for f in fmrs if error_rates.is_measurable(f, num_impostor)]
  matches = streaming.count_matches(
    embeddings,
    labels,
    [
      eer_threshold(counts),
      *(threshold_at_fmr(counts, fmr).threshold for fmr in measured),
    ],
  )
  # Levels of threshold, rising here and falling in `Levels`.
  bins, at = np.unique(streaming.bin_of(counts.genuine), return_inverse=True)
  matched = _at_or_above(counts)

  def read(weights, factors):
    """Returns [EER, FNMR at each rate]; `factors` scale the false matches."""
    genuine = np.bincount(at, weights[counts.genuine_identity])
    levels = error_rates.Levels(
      np.cumsum(genuine[::-1]), matched[bins[::-1] + 1], matched[bins[::-1]]
    )
    num_genuine = levels.accepted[-1]
    # As many of fewer pairs: the rate grows, the counts stay.
    eer = error_rates.read_levels(
      levels, num_genuine, num_impostor / factors[0], ()
    )
    tars = error_rates.read_levels(
      levels, num_genuine, num_impostor, np.array(measured) / factors[1:]
    )[1:]
    return np.append(eer, 1.0 - tars)

  values = read(np.ones(len(counts.images)), np.ones(len(matches)))
  weights = bootstrap.draw_with_pairs(counts.images, resampling)
  factors = _factors(weights, matches, counts.images)
  low, high = bootstrap.bounds(
    np.array([read(w, f) for w, f in zip(weights, factors, strict=True)]),
    values,
    resampling.confidence,
    num_independent=np.count_nonzero(counts.images > 1),
    best=np.zeros_like(values),
  )
  names = ['eer', *map(verification.fnmr_name, measured)]
  answers = error_rates.metrics(names, values, low, high)
  missing = {
    'value': None,
    'reason': f'not measurable with {num_impostor} pairs',
  }
  return {
    name: answers.get(name, missing)
    for name in ['eer', *map(verification.fnmr_name, fmrs)]
  }


def fmr_fnmr(counts):
  """FMR and FNMR at the edges of all bins, each float64 [2^16 + 2].

  As `error_rates.fmr_fnmr`: thresholds fall, the first accepts nothing.
  """
  genuine = np.bincount(
    streaming.bin_of(counts.genuine), minlength=streaming.BINS
  )
  accepted = np.append(np.cumsum(genuine[::-1])[::-1], 0)[::-1]
  matched = _at_or_above(counts)[::-1]
  return (
    streaming.edge_of(np.arange(streaming.BINS, -1, -1)),
    matched / matched[-1],
    1.0 - accepted / accepted[-1],
  )


def det_points(counts, *, num_points=400):
  """Points of the DET curve, (fmr, fnmr) as `error_rates.det_points`."""
  _, fmr, fnmr = fmr_fnmr(counts)
  return error_rates.thin(
    fmr, fnmr, int(counts.impostor.sum()), num_points=num_points
  )


def eer_threshold(counts) -> float:
  """The largest bin edge at which FMR has reached FNMR."""
  thresholds, fmr, fnmr = fmr_fnmr(counts)
  return float(thresholds[np.argmax(fmr >= fnmr)])


def threshold_at_fmr(counts, fmr) -> error_rates.OperatingPoint:
  """The lowest bin edge whose false match rate is at most `fmr`.

  Raises:
    ValueError: `fmr` is no rate, or the rule of 30 forbids it.
  """
  num_impostor = int(counts.impostor.sum())
  error_rates.require_measurable(fmr, num_impostor)
  low_enough = _at_or_above(counts) / num_impostor <= fmr
  return error_rates.OperatingPoint(
    float(streaming.edge_of(np.argmax(low_enough))), fmr, num_impostor
  )


def d_prime(counts) -> dict:
  """`error_rates.d_prime`, impostor pairs taken at the middle of their bins."""
  middles = streaming.edge_of(np.arange(streaming.BINS)) + streaming.WIDTH / 2
  mean = np.average(middles, weights=counts.impostor)
  variance = np.average((middles - mean) ** 2, weights=counts.impostor)
  genuine = counts.genuine.astype(np.float64)
  return error_rates.d_prime_of_moments(
    genuine.mean() - mean, (genuine.var() + variance) / 2
  )


def _factors(weights, matches, images):
  """c of the module docstring, [R, T], from weights [R, K], matches [T, K]."""
  pairs = images * (images.sum() - images)
  drawn = weights @ pairs / pairs.sum()
  total = np.maximum(matches.sum(axis=1), 1)
  # No match at all: nothing to resample.
  matched = np.where(matches.any(axis=1), weights @ matches.T / total, 1.0)
  # Above 0: rates are divided by it.
  return np.maximum(matched / drawn[:, None], 1e-6) ** 2


def _at_or_above(counts):
  """Impostor pairs in each bin or above it, and 0: int64 [2^16 + 2]."""
  return np.append(np.cumsum(counts.impostor[::-1])[::-1], 0)

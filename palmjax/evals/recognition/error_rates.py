"""Error rates of two lists of similarities, genuine and impostor.

In the words of ISO/IEC 19795-1, a pair is accepted at threshold t where its
similarity s is at least t:

  FMR(t)    = share of the impostor pairs with s ≥ t
  FNMR(t)   = share of the genuine pairs with s < t
  EER       = where the line through the points (FMR(t), FNMR(t)), t falling
              over all scores, meets FMR = FNMR
  TAR@FAR=f = the largest 1 - FNMR(t) with FMR(t) ≤ f

Tied scores are accepted together or not at all. Rule of 30: a FAR f is
reported only where f times the number of impostor pairs is at least 30.
"""

import math
from typing import NamedTuple

import numpy as np

RULE_OF_30 = 30


def fmr_fnmr(genuine, impostor):
  """FMR and FNMR (false match, false non-match) at every threshold.

  Args:
    genuine: float [G], similarities of genuine pairs.
    impostor: float [I], similarities of impostor pairs.

  Returns:
    (thresholds, fmr, fnmr), each float64 [T], thresholds falling from infinity
    (nothing is accepted) over all distinct scores.
  """
  genuine, impostor = _sorted(genuine, impostor)
  values = np.unique(np.concatenate([genuine, impostor]))[::-1]
  thresholds = np.concatenate([[np.inf], values])
  fmr = 1.0 - np.searchsorted(impostor, thresholds) / len(impostor)
  fnmr = np.searchsorted(genuine, thresholds) / len(genuine)
  return thresholds, fmr, fnmr


def eer(genuine, impostor) -> float:
  """Equal error rate (module docstring) of [G] and [I] similarities."""
  return float(eer_and_tars(genuine, impostor, ())[0])


def eer_and_tars(genuine, impostor, fars) -> np.ndarray:
  """EER and TAR@FAR of [G] and [I] similarities.

  Returns:
    float64 [1 + F]: the EER, then for each of `fars` the largest true accept
    rate whose false accept rate is at most that.
  """
  genuine, impostor = _sorted(genuine, impostor)
  levels = find_levels(genuine, impostor)
  return read_levels(levels, len(genuine), len(impostor), fars)


def eer_threshold(genuine, impostor) -> float:
  """The largest threshold at which FMR has reached FNMR."""
  thresholds, fmr, fnmr = fmr_fnmr(genuine, impostor)
  return float(thresholds[np.argmax(fmr >= fnmr)])


def d_prime(genuine, impostor) -> dict:
  """Decidability index d': distance of the means in standard deviations.

  Returns:
    {'value'}, or {'value': None, 'reason'} where no list has two scores that
    differ: there is no deviation to divide by.
  """
  genuine = np.asarray(genuine, np.float64)
  impostor = np.asarray(impostor, np.float64)
  return d_prime_of_moments(
    genuine.mean() - impostor.mean(), (genuine.var() + impostor.var()) / 2
  )


def d_prime_of_moments(distance, variance) -> dict:
  """`d_prime` of the distance of the means and the mean of the variances."""
  if not variance:
    return {'value': None, 'reason': 'all scores of a kind are equal'}
  return {'value': float(distance / np.sqrt(variance))}


def det_points(genuine, impostor, *, num_points=400):
  """Points of the DET curve that the number of impostor pairs supports.

  Args:
    genuine: float [G], similarities of genuine pairs.
    impostor: float [I], similarities of impostor pairs.
    num_points: the most to return, evenly spaced in log(FMR).

  Returns:
    (fmr, fnmr), each float64 [P], fmr rising from 30/I (rule of 30) to 1;
    empty where I < 30.
  """
  _, fmr, fnmr = fmr_fnmr(genuine, impostor)
  return thin(fmr, fnmr, np.size(impostor), num_points=num_points)


def thin(fmr, fnmr, num_impostor, *, num_points=400):
  """Thins a curve (fmr [T], fnmr [T]) to the points of `det_points`."""
  smallest = RULE_OF_30 / num_impostor
  if smallest > 1.0:
    return np.empty(0), np.empty(0)
  grid = np.geomspace(smallest, 1.0, num_points)
  # The last point of each FMR: of a vertical step its lower end.
  reached = fmr[np.searchsorted(fmr, grid - 1e-12)]
  chosen = np.unique(np.searchsorted(fmr, reached, 'right')) - 1
  return fmr[chosen], fnmr[chosen]


class OperatingPoint(NamedTuple):
  """A threshold and what it was set on.

  Attributes:
    threshold: a pair is accepted where its similarity is at least this.
    fmr: the false match rate asked for; the one observed is not above it.
    num_impostor: the impostor pairs that were counted.
  """

  threshold: float
  fmr: float
  num_impostor: int


def threshold_at_fmr(impostor, fmr) -> OperatingPoint:
  """The lowest threshold whose false match rate is at most `fmr`.

  Args:
    impostor: float [I], similarities of impostor pairs.
    fmr: the wanted rate, in (0, 1).

  Raises:
    ValueError: `fmr` is no rate, or the rule of 30 forbids it; a score is not
      finite.
  """
  impostor = np.sort(np.asarray(impostor).ravel())
  require_measurable(fmr, len(impostor))
  if not np.isfinite(impostor).all():
    raise ValueError('Scores hold NaN or infinity: check the embeddings.')
  allowed = round(fmr * len(impostor))
  if allowed / len(impostor) > fmr:
    allowed -= 1
  rejected = impostor[-1 - allowed]
  return OperatingPoint(
    float(np.nextafter(rejected, np.inf, dtype=impostor.dtype)),
    fmr,
    len(impostor),
  )


def threshold_for(thresholds, fmr, why, *, others='') -> float:
  """Looks up the threshold of a false match rate in (FMR, threshold) pairs.

  Args:
    thresholds: pairs (FMR, threshold).
    fmr: the rate.
    why: what the error says before the known rates, '… for'.
    others: another way out than the rarest known rate, '…, or' before it.

  Raises:
    ValueError: none was set for this rate; names those that were.
  """
  for known, threshold in thresholds:
    if math.isclose(known, fmr, rel_tol=1e-6):
      return threshold
  rates = [short(rate) for rate, _ in thresholds]
  raise ValueError(
    f'no threshold for an FMR of {short(fmr)}: {why} for {", ".join(rates)}; '
    f'give --fmr={rates[-1]}{others}'
  )


def require_measurable(fmr, num_impostor):
  """Raises ValueError unless `fmr` is a rate that the rule of 30 allows."""
  if not 0.0 < fmr < 1.0:
    raise ValueError(f'A false match rate lies between 0 and 1, got {fmr:g}.')
  if not is_measurable(fmr, num_impostor):
    needed = round(RULE_OF_30 / fmr)
    raise ValueError(
      f'A false match rate of {short(fmr)} needs {needed:,} impostor pairs '
      f'(rule of 30), there are {num_impostor:,}: ask for a higher rate or '
      'compare more images.'
    )


def metrics(names, values, low, high) -> dict:
  """{name: {'value', 'low', 'high'}} of plain floats, as reports want them."""
  return {
    name: dict(zip(('value', 'low', 'high'), map(float, rate), strict=True))
    for name, *rate in zip(names, values, low, high, strict=True)
  }


def complement(metric) -> dict:
  """Returns 1 - rate with its interval, e.g. FNMR from TAR."""
  if metric['value'] is None:
    return metric
  return {
    'value': 1.0 - metric['value'],
    'low': 1.0 - metric['high'],
    'high': 1.0 - metric['low'],
  }


def short(rate) -> str:
  """Formats a rate for the name of a metric: '1e-3' for 0.001."""
  mantissa, exponent = f'{rate:.6e}'.split('e')
  return f'{float(mantissa):g}e{int(exponent)}'


def is_measurable(far, num_impostor) -> bool:
  """Whether the rule of 30 allows a FAR: 30 false matches or more."""
  return far * num_impostor >= RULE_OF_30 * (1.0 - 1e-9)


def require_pairs(num_genuine, num_impostor):
  """Raises ValueError where one kind of pair is missing."""
  if not num_genuine:
    raise ValueError(
      'No genuine pair: evaluation needs an identity with two images.'
    )
  if not num_impostor:
    raise ValueError('No impostor pair: evaluation needs two identities.')


class Levels(NamedTuple):
  """Numbers of pairs, or sums of weights, at the L falling thresholds.

  Only the distinct genuine scores are levels: between two of them FNMR stands
  still, so the impostor pairs there need to be counted, not looked at.
  """

  accepted: np.ndarray  # [L] genuine pairs at or above the level.
  above: np.ndarray  # [L] impostor pairs above the level.
  matched: np.ndarray  # [L] impostor pairs at or above the level.


def find_levels(genuine, impostor) -> Levels:
  """Levels of two lists, both sorted upward."""
  level = np.unique(genuine)[::-1]
  return Levels(
    len(genuine) - np.searchsorted(genuine, level, 'left'),
    len(impostor) - np.searchsorted(impostor, level, 'right'),
    len(impostor) - np.searchsorted(impostor, level, 'left'),
  )


def read_levels(levels, num_genuine, num_impostor, fars):
  """EER and the TAR at each of `fars` from integer counts.

  Args:
    levels: `Levels`, all of them or the first few.
    num_genuine: what `accepted` ends with, in full.
    num_impostor: all impostor pairs.
    fars: F rates.

  Returns:
    float64 [1 + F]; None where the levels end before every answer is known.
  """
  accepted, above, matched = levels
  complete = len(accepted) and accepted[-1] == num_genuine
  excess = matched * num_genuine - (num_genuine - accepted) * num_impostor
  at = np.searchsorted(excess, 0)  # The first level with FMR ≥ FNMR.
  fmr = matched / num_impostor
  ends = np.searchsorted(fmr, fars, side='right')  # The first with FMR > f.
  if not complete and max(at, *ends, 0) == len(accepted):
    return None

  missed = num_genuine - (accepted[at - 1] if at else 0)
  before = above[at] * num_genuine - missed * num_impostor
  if before >= 0:  # Impostor pairs between the two levels cross over.
    rate = missed / num_genuine
  else:
    share = before / (before - excess[at])
    rate = (above[at] + share * (matched[at] - above[at])) / num_impostor
  tars = np.concatenate([[0.0], accepted / num_genuine])[ends]
  return np.concatenate([[rate], tars])


def _sorted(genuine, impostor):
  genuine = np.sort(np.asarray(genuine).ravel())
  impostor = np.sort(np.asarray(impostor).ravel())
  require_pairs(len(genuine), len(impostor))
  if not (np.isfinite(genuine).all() and np.isfinite(impostor).all()):
    raise ValueError('Scores hold NaN or infinity: check the embeddings.')
  return genuine, impostor

"""Thresholds for false match rates, from the impostor scores of few palms.

Above the score u that a share p of the pairs reaches, scores fall off as those
of a normal distribution: −log of a share grows with the square of the score

  t(f) = u + b (√log(1/f) − √log(1/p))      for a false match rate (FMR) of f

with b from the mean excess over u. In three sets of 1,000 drawn palms, and in
one of 123 real ones, fused scores fall off like that from p = 0.2 on; with b
from p = 0.1 the FMR for 1e-3 was 5 to 11 % too high on average. An exponential
tail is too careful by a factor of 1.5 at 1e-3, and of 5 at 1e-4. The share p is
20 % of few pairs and falls to 1 % of many.

Pairs share palms: 40 palms have 780 pairs, and tell little. So palms are drawn
with replacement, and t is found of each draw. A threshold is as high as both

  the score t(f) of 4 of 5 draws, and
  the score t(2 f) of nearly all draws: their mean and `_SURE` deviations

With some 100 palms or fewer the second counts: strangers pass at most twice as
often as they should. With more palms both are close to t(f).
"""

import numpy as np
from scipy import special

# Bounds of the share p, and how many pairs it is of, between them.
_LEAST_TAIL, _MOST_TAIL, _IN_TAIL = 0.01, 0.2, 2000
_DRAWS = 200
_CAREFUL = 0.8  # Quantile of t(f).
_AT_MOST, _SURE = 2.0, 2.7  # 2 f, and deviations of t(2 f).


def careful(scores, rows, columns, fmrs, rng):
  """Thresholds at the careful end of a bootstrap over palms.

  Args:
    scores: float [I], of impostor pairs.
    rows: int [I], a palm of each pair.
    columns: int [I], the other one.
    fmrs: rates; those above p are read off the scores.
    rng: `np.random.Generator`.

  Returns:
    A float for each rate.
  """
  order = np.argsort(scores)
  scores, rows, columns = scores[order], rows[order], columns[order]
  count = 1 + max(rows.max(), columns.max())
  pairs = count * (count - 1) // 2
  tail = min(_MOST_TAIL, max(_LEAST_TAIL, _IN_TAIL / pairs))
  rates = np.multiply.outer((1.0, _AT_MOST), fmrs)
  thresholds = np.empty((_DRAWS, *rates.shape))
  for draw in range(_DRAWS):
    drawn = np.bincount(rng.integers(0, count, count), minlength=count)
    weights = (drawn[rows] * drawn[columns]).astype(np.float64)
    thresholds[draw] = _thresholds(scores, weights, rates, tail)
  usual = np.quantile(thresholds[:, 0], _CAREFUL, axis=0)
  sure = thresholds[:, 1].mean(axis=0) + _SURE * thresholds[:, 1].std(axis=0)
  return tuple(np.maximum(usual, sure).tolist())


def _thresholds(scores, weights, rates, tail):
  """t(f) of the module docstring for each rate, of sorted scores."""
  total = np.cumsum(weights)

  def reached(share):
    return np.searchsorted(total, (1 - share) * total[-1])

  first = reached(tail)
  start = np.sqrt(-np.log(tail))
  excess = np.average(scores[first:] - scores[first], weights=weights[first:])
  # The mean of √(log(1/p) + E) − √log(1/p), with E exponential.
  fall = excess / (np.sqrt(np.pi) / 2 * special.erfcx(start))
  beyond = scores[first] + fall * (np.sqrt(-np.log(rates)) - start)
  within = scores[reached(np.minimum(rates, 1.0))]
  return np.where(rates >= tail, within, beyond)

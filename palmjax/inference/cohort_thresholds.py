"""Thresholds for false match rates, from the impostor scores of few palms.

Above the score u that a share p of the pairs reaches, scores fall off. Two laws
give the threshold t(f) for a false match rate (FMR) of f; L is √log(1/·)

  normal       t(f) = u + b (L(f) − L(p))       p from 20 % of few pairs to 1 %
  exponential  t(f) = u + b log(p / f)          p = 5 %

with b from the mean excess over u. Fused scores of three sets of 1,000 drawn
palms fell off by the first law from p = 0.2 on; with p = 0.1 the FMR for 1e-3
was 5 to 11 % too high on average. The second one is careful: its FMR for 1e-3
was half of what it should be.

Pairs share palms: 40 palms have 780 pairs, and tell little. So palms are drawn
with replacement, and t is found of each draw. With 40 palms or fewer the ninth
of ten draws by the exponential law counts. Of the normal law some cohorts of 40
real palms let 4 times as many strangers pass as they should. More pairs show
which law holds: the threshold moves on to the sixth of ten draws by the normal
law, the share of the careful one falling as 780 / pairs. With cohorts of 200,
30 at each of three difficulties, the FMR for 1e-3 was then 0.53 to 1.62 times
as large as it should be; with the eighth of ten draws it was 0.45 to 1.47.
That is one trial on seeds 31 to 33 with an earlier fusion. No command makes it.
"""

import numpy as np
from scipy import special

# Bounds of the share p, and how many pairs it is of, between them.
_LEAST_TAIL, _MOST_TAIL, _IN_TAIL = 0.01, 0.2, 2000
_EXPONENTIAL_TAIL = 0.05
DRAWS = 200
_USUAL, _CAREFUL = 0.6, 0.9  # Quantiles of t(f), normal and exponential.
_FEW_PAIRS = 780


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
  normal, exponential = _drawn(scores, rows, columns, fmrs, rng)
  usual = np.quantile(normal, _USUAL, axis=0)
  most = np.quantile(exponential, _CAREFUL, axis=0)
  share = min(1.0, _FEW_PAIRS / _pairs(rows, columns))
  return tuple((usual + share * (most - usual)).tolist())


def upper(scores, rows, columns, fmrs, rng):
  """Thresholds by the normal law that one draw in ten exceeds.

  For many palms, where nobody may see what passes. Arguments and result as of
  `careful`.
  """
  normal, _ = _drawn(scores, rows, columns, fmrs, rng)
  return tuple(np.quantile(normal, _CAREFUL, axis=0).tolist())


def strict(scores, rows, columns, fmrs, rng):
  """Thresholds by the exponential law alone, whatever the number of palms.

  Arguments and result as of `careful`.
  """
  _, exponential = _drawn(scores, rows, columns, fmrs, rng)
  return tuple(np.quantile(exponential, _CAREFUL, axis=0).tolist())


def _pairs(rows, columns):
  count = 1 + max(rows.max(), columns.max())
  return count * (count - 1) // 2


def _drawn(scores, rows, columns, fmrs, rng):
  """t(f) of each draw by the normal and by the exponential law: [2, R, F]."""
  order = np.argsort(scores)
  scores, rows, columns = scores[order], rows[order], columns[order]
  count = 1 + max(rows.max(), columns.max())
  tail = _IN_TAIL / _pairs(rows, columns)
  tail = min(_MOST_TAIL, max(_LEAST_TAIL, tail))
  rates = np.asarray(fmrs)
  thresholds = np.empty((DRAWS, 2, len(rates)))
  for draw in range(DRAWS):
    drawn = np.bincount(rng.integers(0, count, count), minlength=count)
    weights = (drawn[rows] * drawn[columns]).astype(np.float64)
    thresholds[draw] = _thresholds(scores, weights, rates, tail)
  return thresholds.swapaxes(0, 1)


def _thresholds(scores, weights, rates, tail):
  """t(f) by both laws for each rate, [2, F], of sorted scores."""
  total = np.cumsum(weights)

  def place(share):
    return np.searchsorted(total, (1 - share) * total[-1])

  def above(share, distances):
    """t(f) for distances, in b, from the score that a share reaches."""
    first = place(share)
    excess = scores[first:] - scores[first]
    mean = np.average(excess, weights=weights[first:])
    return np.where(
      rates >= share, scores[place(rates)], scores[first] + mean * distances
    )

  start = np.sqrt(-np.log(tail))
  # The mean of √(log(1/p) + E) − √log(1/p), with E exponential.
  mean = np.sqrt(np.pi) / 2 * special.erfcx(start)
  return (
    above(tail, (np.sqrt(-np.log(rates)) - start) / mean),
    above(_EXPONENTIAL_TAIL, np.log(_EXPONENTIAL_TAIL / rates)),
  )

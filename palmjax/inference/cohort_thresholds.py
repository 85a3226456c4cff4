"""Thresholds for false match rates, from the impostor scores of few palms.

Above the score u that a share p of the pairs reaches, scores fall off. Two laws
give the threshold t(f) for a false match rate (FMR) of f; L is √log(1/·)

  normal       t(f) = u + b (L(f) − L(p))
  exponential  t(f) = u + b log(p / f)

with b from the mean excess over u. Scores of drawn palms fall off by the first
law, those of 123 palms in photographs more like the second. From p = 20 % on,
the two differ by a factor of 3 in the FMR for 1e-3; from p = 3 % on by 1.3. So
p is small: 1 to 3 %, 600 pairs in between.

Pairs share palms: 40 palms have 780 pairs, and tell little. So palms are drawn
with replacement, and t is found of each draw. With 40 palms or fewer the ninth
of ten draws by the exponential law from p = 5 % on counts. With more the
threshold moves on to the 55th of 100 draws by the normal law; the share of
the careful one falls as (780 / pairs)^¾, which is 9 % with 200 palms.

Of 40 palms b is known to 10 %, and too small a b lets strangers pass. So where
the caller knows which b such scores usually have, it counts as much as 40
palms, unless the palms have a larger b. Fused scores have an exponential law
with b = 1, by construction (`parts.Standard`). With it 120 cohorts of 40 drawn
palms let at most 1.5 times as many strangers pass as asked for 1e-3, without
it 2.1 times.

Chosen on simulated scores with normal, exponential and logistic tails, on
drawn palms of seeds 31 to 34, and on cohorts of 40 palms in photographs (no
command makes these trials). Before, p was 10 %: with exponential tails, cohorts
of 200 palms then let 1.9 times as many strangers pass as asked for 1e-3, and
cohorts of 150 palms 2.4 times.
"""

import numpy as np
from scipy import special

# Bounds of the share p, and how many pairs it is of, between them.
_LEAST_TAIL, _MOST_TAIL, _IN_TAIL = 0.01, 0.03, 600
_EXPONENTIAL_TAIL = 0.05
# Likewise, of `upper`: scores of drawn palms alone.
_LEAST_OF_DRAWN, _MOST_OF_DRAWN, _IN_TAIL_OF_DRAWN = 0.01, 0.2, 2000
DRAWS = 200
_USUAL, _CAREFUL = 0.55, 0.9  # Quantiles of t(f).
_FEW_PAIRS, _FALL = 780, 0.75
_TYPICAL_PALMS = 40  # That `typical` counts as much as.
_NORMAL, _EXPONENTIAL = range(2)


def careful(scores, rows, columns, fmrs, rng, typical=None):
  """Thresholds at the careful end of a bootstrap over palms.

  Args:
    scores: float [I], of impostor pairs.
    rows: int [I], a palm of each pair.
    columns: int [I], the other one.
    fmrs: rates; those above p are read off the scores.
    rng: `np.random.Generator`.
    typical: b that such scores usually have by the exponential law, if known.

  Returns:
    A float for each rate.
  """
  pairs = _pairs(rows, columns)
  tail = float(np.clip(_IN_TAIL / pairs, _LEAST_TAIL, _MOST_TAIL))
  usual, most = _drawn(
    scores, rows, columns, fmrs, rng, (tail, _EXPONENTIAL_TAIL), typical
  )
  usual = np.quantile(usual[_NORMAL], _USUAL, axis=0)
  most = np.quantile(most[_EXPONENTIAL], _CAREFUL, axis=0)
  share = min(1.0, _FEW_PAIRS / pairs) ** _FALL
  return tuple((usual + share * (most - usual)).tolist())


def upper(scores, rows, columns, fmrs, rng):
  """Thresholds by the normal law that one draw in ten exceeds.

  For many drawn palms, where nobody may see what passes; p is 1 to 20 %, 2,000
  pairs in between. Arguments and result as of `careful`.
  """
  tail = _IN_TAIL_OF_DRAWN / _pairs(rows, columns)
  tail = float(np.clip(tail, _LEAST_OF_DRAWN, _MOST_OF_DRAWN))
  (drawn,) = _drawn(scores, rows, columns, fmrs, rng, (tail,))
  return tuple(np.quantile(drawn[_NORMAL], _CAREFUL, axis=0).tolist())


def strict(scores, rows, columns, fmrs, rng):
  """Thresholds by the exponential law alone, whatever the number of palms.

  Arguments and result as of `careful`.
  """
  (drawn,) = _drawn(scores, rows, columns, fmrs, rng, (_EXPONENTIAL_TAIL,))
  return tuple(np.quantile(drawn[_EXPONENTIAL], _CAREFUL, axis=0).tolist())


def _pairs(rows, columns):
  count = 1 + max(rows.max(), columns.max())
  return count * (count - 1) // 2


def _drawn(scores, rows, columns, fmrs, rng, shares, typical=None):
  """t(f) of each draw from each share p on, by both laws: [P, 2, R, F]."""
  order = np.argsort(scores)
  scores, rows, columns = scores[order], rows[order], columns[order]
  count = 1 + max(rows.max(), columns.max())
  rates = np.asarray(fmrs)
  thresholds = np.empty((DRAWS, len(shares), 2, len(rates)))
  for draw in range(DRAWS):
    drawn = np.bincount(rng.integers(0, count, count), minlength=count)
    weights = (drawn[rows] * drawn[columns]).astype(np.float64)
    thresholds[draw] = _thresholds(
      scores, weights, rates, shares, lambda b: _with_typical(b, typical, count)
    )
  return np.moveaxis(thresholds, 0, 2)


def _with_typical(b, typical, num_palms):
  """b of the exponential law, where another one is usual or None."""
  if typical is None:
    return b
  return max(b, np.average([b, typical], weights=[num_palms, _TYPICAL_PALMS]))


def _thresholds(scores, weights, rates, shares, exponential):
  """t(f) from each share on, by both laws, [P, 2, F], of sorted scores."""
  total = np.cumsum(weights)

  def place(share):
    return np.searchsorted(total, (1 - share) * total[-1])

  def from_share(share):
    first = place(share)
    excess = scores[first:] - scores[first]
    mean_excess = np.average(excess, weights=weights[first:])
    start = np.sqrt(-np.log(share))
    # The mean of √(log(1/p) + E) − √(log(1/p)), with E exponential.
    unit = np.sqrt(np.pi) / 2 * special.erfcx(start)
    excesses = (
      mean_excess * (np.sqrt(-np.log(rates)) - start) / unit,
      exponential(mean_excess) * np.log(share / rates),
    )
    read = scores[place(rates)]
    return [
      np.where(rates >= share, read, scores[first] + excess)
      for excess in excesses
    ]

  return np.array([from_share(share) for share in shares])

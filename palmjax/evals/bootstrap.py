"""Bootstrap over identities for the error rates of all pairs.

Pairs share people, so a resample draws identities, never pairs: the K
identities K times with replacement, identity i coming w_i times. A genuine
pair of i counts w_i times, an impostor pair of i and j counts w_i·w_j times,
and two draws of the same identity make no impostor pair:

  FNMR*(t) = Σ_i w_i #{genuine s_i < t} / Σ_i w_i n_i (n_i - 1) / 2
  FMR*(t)  = Σ_{i<j} w_i w_j #{s_ij ≥ t} / Σ_{i<j} w_i w_j n_i n_j

(the subsets bootstrap of Bolle, Ratha and Pankanti, 2004, on both sides of the
pair; the vertex bootstrap of Snijders and Borgatti, 1999). The interval lies
between percentiles of the resamples, set wider for few identities as Student's
t is wider than the normal (the expanded percentiles of Hesterberg, 2015,
arXiv:1411.5279): tail Φ(-sqrt(n/(n-1)) t_{n-1}). It tells what other people
would have changed, not what another training seed would have.

Where only pairs across sessions count, those within each session s, of whose
images i has n_is, are taken off both sums below the fraction bars:

  Σ_s Σ_i w_i n_is (n_is - 1) / 2   and   Σ_s Σ_{i<j} w_i w_j n_is n_js
"""

import dataclasses
from typing import NamedTuple

import numpy as np

from palmjax.evals.recognition import error_rates

MIN_IDENTITIES = 5


@dataclasses.dataclass(frozen=True, kw_only=True)
class Resampling:
  """Settings of a bootstrap: number of resamples, seed, confidence.

  Attributes:
    draws: resamples.
    seed: of the resamples; the same seed gives the same bits.
    confidence: of the interval.
  """

  draws: int = 1000
  seed: int = 0
  confidence: float = 0.95


DEFAULT = Resampling()


class _Ranking(NamedTuple):
  """Identities of the pairs by falling score, and counts at the levels."""

  genuine: np.ndarray  # [G]
  impostor: tuple[np.ndarray, np.ndarray]  # Two [I], the sides of the pairs.
  levels: error_rates.Levels


def _rank(scores):
  impostor = np.argsort(-scores.impostor)
  first, second = scores.impostor_identity
  return _Ranking(
    scores.genuine_identity[np.argsort(-scores.genuine)],
    (first[impostor], second[impostor]),
    error_rates.find_levels(
      np.sort(scores.genuine), scores.impostor[impostor[::-1]]
    ),
  )


def _weighted_rates(ranking, weights, num_impostor, fars, reach):
  """[EER, TAR at each of `fars`], identity i counted `weights[i]` times.

  Only the `reach` highest impostor pairs are visited, more where these do not
  suffice: an EER of 5 % lies within the first twentieth of them. All of them
  always do, for the last level accepts every genuine pair.
  """
  levels = ranking.levels
  accepted = np.cumsum(weights[ranking.genuine])[levels.accepted - 1]
  while True:
    first, second = (side[:reach] for side in ranking.impostor)
    counts = np.zeros(len(first) + 1, np.int64)
    np.cumsum(weights[first] * weights[second], out=counts[1:])
    reached = np.searchsorted(levels.matched, reach, side='right')
    weighted = error_rates.Levels(
      accepted[:reached],
      counts[levels.above[:reached]],
      counts[levels.matched[:reached]],
    )
    answer = error_rates.read_levels(
      weighted, int(accepted[-1]), num_impostor, fars
    )
    if answer is not None:
      return answer
    reach *= 2


def resample(models, fars, resampling):
  """EER and TAR@FAR of M models, and of the same R bootstrap resamples.

  Args:
    models: M `verification.PairScores` of the same labels.
    fars: F false accept rates.
    resampling: `Resampling`; R is at most its draws.

  Returns:
    values [M, 1 + F], resamples [M, R, 1 + F]. Draws without a genuine or
    without an impostor pair measure nothing and are left out of R.

  Raises:
    ValueError: there are not as many pairs as the images make.
  """
  images, within = models[0].images, models[0].within
  weights = draw_with_pairs(images, resampling, within=within)
  _, num_impostor = num_pairs(weights, images, within)

  values, resamples = [], []
  for scores in models:
    _require_all_pairs(scores)
    ranking = _rank(scores)
    value = error_rates.eer_and_tars(scores.genuine, scores.impostor, fars)
    share = min(1.0, 1.5 * max(value[0], *fars, 0.0))
    reach = int(share * len(scores.impostor)) + 1
    values.append(value)
    resamples.append(
      [
        _weighted_rates(ranking, w, int(count), fars, reach)
        for w, count in zip(weights, num_impostor, strict=True)
      ]
    )
  return np.array(values), np.array(resamples)


def _require_all_pairs(scores):
  genuine, impostor = all_pairs(scores.images, scores.within)
  if (genuine, impostor) != (len(scores.genuine), len(scores.impostor)):
    raise ValueError(
      f'{len(scores.genuine):,} genuine and {len(scores.impostor):,} impostor '
      f'pairs, but the images make {genuine:,} and {impostor:,}: give the '
      'scores of all pairs that count.'
    )


def num_pairs(weights, images, within):
  """Counts genuine and impostor pairs of each bootstrap draw.

  Args:
    weights: integer [R, K], how often each identity comes.
    images: int64 [K], n_i.
    within: int64 [K, S], n_is; S = 0 where all pairs count.

  Returns:
    (genuine, impostor), each int64 [R].
  """
  counts = np.concatenate([images[:, None], within], axis=1)
  genuine = weights @ (counts * (counts - 1) // 2)
  impostor = ((weights @ counts) ** 2 - weights**2 @ counts**2) // 2
  return tuple(n[:, 0] - n[:, 1:].sum(axis=1) for n in (genuine, impostor))


def draw(num_identities, resampling):
  """Bootstrap weights: how often each identity is drawn, int [draws, K]."""
  generator = np.random.Generator(np.random.PCG64(resampling.seed))
  equal = np.full(num_identities, 1.0 / num_identities)
  return generator.multinomial(num_identities, equal, size=resampling.draws)


def all_pairs(images, within):
  """Counts (genuine, impostor) pairs of all images, not resampled."""
  genuine, impostor = num_pairs(np.ones((1, len(images)), int), images, within)
  return int(genuine[0]), int(impostor[0])


def draw_with_pairs(images, resampling, *, within=None):
  """Bootstrap draws with genuine and impostor pairs; `within` None: S = 0."""
  weights = draw(len(images), resampling)
  within = np.empty((len(images), 0), int) if within is None else within
  genuine, impostor = num_pairs(weights, images, within)
  return weights[(genuine > 0) & (impostor > 0)]


def bounds(resamples, values, confidence, *, num_independent, best):
  """Bootstrap confidence intervals of rates, by the rule of 3 at 0 errors.

  Args:
    resamples: [R, F].
    values: [F], the rates themselves.
    confidence: of the interval.
    num_independent: identities that could have shown an error.
    best: [F], the rate without any error, 0 or 1. Where it was reached every
      resample agrees, and the rule of 3 says how far the interval reaches.

  Returns:
    (low, high), each [F]; all of [0, 1] with fewer than 5 identities.
  """
  if num_independent < MIN_IDENTITIES:
    low, high = np.zeros_like(values), np.ones_like(values)
  else:
    low, high = interval(resamples, values, confidence, num_independent)
  unseen = unseen_share(confidence, num_independent)
  perfect = values == best
  wide = np.abs(best - unseen)
  return (
    np.where(perfect & (best == 1.0), np.minimum(low, wide), low),
    np.where(perfect & (best == 0.0), np.maximum(high, wide), high),
  )


def difference_bounds(
  resamples, value, confidence, *, num_independent, alike=False
):
  """Confidence interval of the difference of two rates.

  Args:
    resamples: [R].
    value: the difference itself.
    confidence: of the interval.
    num_independent: identities that could have shown a difference.
    alike: both rates are of the same answers: they differ nowhere.

  Returns:
    (low, high); all of [−1, 1] with fewer than 5 identities. Where all
    resamples agree, e.g. of two rates without any success, the rule of 3 says
    how far the interval reaches to both sides.
  """
  if num_independent < MIN_IDENTITIES:
    return -1.0, 1.0
  low, high = interval(resamples, value, confidence, num_independent)
  if low == high and not alike:
    reach = unseen_share(confidence, num_independent)
    return max(low - reach, -1.0), min(high + reach, 1.0)
  return float(low), float(high)


def unseen_share(confidence, num_independent):
  """The largest share that may have been missed by so many (rule of 3)."""
  return 1.0 - (1.0 - confidence) ** (1.0 / num_independent)


def interval(resamples, value, confidence, num_independent):
  """Confidence interval (low, high) from resamples [R, ...]; n ≥ 2."""
  tail = expanded_tail(confidence, num_independent)
  low, high = np.quantile(
    resamples, [tail, 1.0 - tail], axis=0, method='inverted_cdf'
  )
  return np.minimum(low, value), np.maximum(high, value)


def expanded_tail(confidence, n):
  """Tail share of expanded percentiles for n independent identities."""
  # Imported here: `verify` makes no interval and need not wait 0.25 s for it.
  from scipy import special

  student = special.stdtrit(n - 1, (1.0 + confidence) / 2)
  return float(special.ndtr(-student * (n / (n - 1)) ** 0.5))

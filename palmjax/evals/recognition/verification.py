"""All-pairs 1:1 verification, with intervals by a bootstrap over identities.

Every pair of different images counts once. Intervals come from resampled
identities (`evals.bootstrap`): they tell what other people would have changed,
not what another training seed would have.

Three honest limits. Rule of 30: a FAR f is reported only where f times the
impostor pairs is at least 30. Rule of 3: where no error was seen every
resample agrees, so the interval reaches to 3/n (in full 1 - .05^(1/n)), n being
the identities with genuine pairs: these are independent, pairs are not. With
fewer than 5 such identities the interval is all of [0, 1].
"""

from collections.abc import Sequence
from typing import NamedTuple

import chex
import numpy as np

from palmjax.evals import bootstrap
from palmjax.evals.recognition import error_rates, inputs

FARS = (1e-1, 1e-2, 1e-3, 1e-4)
FMRS = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
_ROWS = 512  # Images compared with all others at a time: bounds the memory.


class PairScores(NamedTuple):
  """Similarities of all pairs of different images, each pair once.

  Attributes:
    genuine: float32 [G], pairs of one identity.
    impostor: float32 [I], pairs of two identities.
    genuine_identity: integer [G], in 0..K-1.
    impostor_identity: integer [2, I], both sides of the pair.
    images: int64 [K], images of each identity.
    within: int64 [K, S], those in each session, whose pairs do not count; S is
      0 where all pairs do.
  """

  genuine: np.ndarray
  impostor: np.ndarray
  genuine_identity: np.ndarray
  impostor_identity: np.ndarray
  images: np.ndarray
  within: np.ndarray


def pair_scores(embeddings, labels, *, sessions=None) -> PairScores:
  """Cosine similarities of all pairs i < j.

  Args:
    embeddings: float [N, D], unit L2 norm. N = 10,000 takes 500 MB.
    labels: integer [N], any values.
    sessions: integer [N]; only pairs of different sessions count. None counts
      all pairs.

  Returns:
    `PairScores`; its identity k is the k-th smallest label.

  Raises:
    ValueError: a value is not finite, a norm is not 1, or there is no genuine
      or no impostor pair.
  """
  embeddings, labels = inputs.labelled(embeddings, labels)
  return _scores(
    lambda rows, start: embeddings[rows] @ embeddings[start:].T,
    labels,
    sessions,
  )


def matrix_scores(similarities, labels, *, sessions=None) -> PairScores:
  """`pair_scores` of any matcher, from the similarities of all pairs.

  Args:
    similarities: float [N, N]; what is above the diagonal counts.
    labels: integer [N], any values.
    sessions: as for `pair_scores`.

  Returns:
    `PairScores`.

  Raises:
    ValueError: a value is not finite, or there is no genuine or no impostor
      pair.
  """
  similarities = np.asarray(similarities, np.float32)
  labels = np.asarray(labels)
  chex.assert_rank(labels, 1)
  chex.assert_shape(similarities, (len(labels), len(labels)))
  if not np.isfinite(similarities).all():
    raise ValueError('Similarities hold NaN or infinity: check the matcher.')
  return _scores(lambda i, j: similarities[i, j:], labels, sessions)


def _scores(block, labels, sessions):
  """`PairScores` of labels [N]; block(rows, start): rows against start … N."""
  _, identities, images = np.unique(
    labels, return_inverse=True, return_counts=True
  )
  identities = identities.astype(np.min_scalar_type(len(images)))
  if sessions is None:
    # Every image is its own session: no pair is within one.
    sessions = np.arange(len(labels))
    within = np.empty((len(images), 0), np.int64)
  else:
    names, sessions = np.unique(sessions, return_inverse=True)
    within = np.zeros((len(images), len(names)), np.int64)
    np.add.at(within, (identities, sessions), 1)
  num_genuine, num_impostor = bootstrap.all_pairs(images, within)
  error_rates.require_pairs(num_genuine, num_impostor)

  genuine = np.empty(num_genuine, np.float32)
  impostor = np.empty(num_impostor, np.float32)
  genuine_identity = np.empty(num_genuine, identities.dtype)
  impostor_identity = np.empty((2, num_impostor), identities.dtype)
  g = i = 0
  for start in range(0, len(labels), _ROWS):
    rows = np.arange(start, min(start + _ROWS, len(labels)))
    later = np.arange(start, len(labels))
    similarity = block(rows, start)
    same = identities[rows, None] == identities[None, later]
    once = rows[:, None] < later[None, :]
    once &= sessions[rows, None] != sessions[None, later]
    row, _ = pairs = np.nonzero(same & once)
    genuine[g : g + len(row)] = similarity[pairs]
    genuine_identity[g : g + len(row)] = identities[rows[row]]
    g += len(row)
    row, column = pairs = np.nonzero(~same & once)
    impostor[i : i + len(row)] = similarity[pairs]
    impostor_identity[0, i : i + len(row)] = identities[rows[row]]
    impostor_identity[1, i : i + len(row)] = identities[later[column]]
    i += len(row)
  return PairScores(
    genuine, impostor, genuine_identity, impostor_identity, images, within
  )


def _num_independent(scores):
  """Identities with a genuine pair."""
  return np.count_nonzero(np.bincount(scores.genuine_identity))


def evaluate(
  embeddings,
  labels,
  *,
  fars: Sequence[float] = FARS,
  resampling=bootstrap.DEFAULT,
) -> dict:
  """EER and TAR@FAR of all pairs of embeddings; see `rates`, `pair_scores`."""
  return rates(
    pair_scores(embeddings, labels),
    fars=fars,
    resampling=resampling,
  )


def rates(
  scores: PairScores,
  *,
  fars: Sequence[float] = FARS,
  resampling=bootstrap.DEFAULT,
) -> dict:
  """EER and TAR@FAR with bootstrap intervals over identities.

  Args:
    scores: of all pairs, from `pair_scores`.
    fars: false accept rates, each in (0, 1).
    resampling: of the interval.

  Returns:
    {'eer': …, 'tar@far=1e-3': …}, each {'value', 'low', 'high'}, or {'value':
    None, 'reason': …} where the rule of 30 forbids a number.
  """
  if not all(0.0 < far < 1.0 for far in fars):
    raise ValueError('A false accept rate must lie between 0 and 1.')
  num_impostor = len(scores.impostor)
  measured = [f for f in fars if error_rates.is_measurable(f, num_impostor)]
  (values,), (resamples,) = bootstrap.resample([scores], measured, resampling)
  low, high = bootstrap.bounds(
    resamples,
    values,
    resampling.confidence,
    num_independent=_num_independent(scores),
    best=np.append(0.0, np.ones(len(measured))),
  )
  names = ['eer', *map(tar_name, measured)]
  metrics = error_rates.metrics(names, values, low, high)
  missing = f'not measurable with {num_impostor} pairs'
  return {
    name: metrics.get(name, {'value': None, 'reason': missing})
    for name in ['eer', *map(tar_name, fars)]
  }


def fnmr_rates(
  scores: PairScores,
  *,
  fmrs: Sequence[float] = FMRS,
  resampling=bootstrap.DEFAULT,
) -> dict:
  """`rates` in the words of ISO/IEC 19795-1: FNMR@FMR is 1 - TAR@FAR.

  Args:
    scores: of all pairs, from `pair_scores`.
    fmrs: false match rates, each in (0, 1).
    resampling: as in `rates`.

  Returns:
    {'eer': …, 'fnmr@fmr=1e-4': …}, each as in `rates`.
  """
  metrics = rates(
    scores,
    fars=fmrs,
    resampling=resampling,
  )
  misses = {
    fnmr_name(fmr): error_rates.complement(metrics[tar_name(fmr)])
    for fmr in fmrs
  }
  return {'eer': metrics['eer'], **misses}


def eer_ratio(
  scores: PairScores,
  baseline: PairScores,
  *,
  resampling=bootstrap.DEFAULT,
) -> dict:
  """EER of one model over that of another on the same images, with interval.

  Each resample draws the same identities for both models: a hard identity is
  hard for both, so the ratio is better known than the two rates apart.

  Args:
    scores: of the model, from `pair_scores`.
    baseline: of the other model, on the same labels.
    resampling: of the interval.

  Returns:
    {'value', 'low', 'high'}; below 1 the model is better than the baseline.
    {'value': None, 'reason': …} where the baseline makes too few errors, or
    there are too few identities, to divide by.

  Raises:
    ValueError: the two models saw different images.
  """
  if not (
    np.array_equal(scores.images, baseline.images)
    and np.array_equal(scores.within, baseline.within)
  ):
    raise ValueError('A ratio needs both models on the same labelled images.')
  num_independent = _num_independent(scores)
  missing = f'not measurable with {num_independent} identities'
  if num_independent < bootstrap.MIN_IDENTITIES:
    return {'value': None, 'reason': missing}
  values, resamples = bootstrap.resample([scores, baseline], (), resampling)
  if values[1, 0] == 0.0:
    return {'value': None, 'reason': missing}

  value = values[0, 0] / values[1, 0]
  above, below = resamples[:, :, 0]
  ratios = np.full(len(above), np.inf)
  np.divide(above, below, out=ratios, where=below > 0.0)
  ratios[(above == 0.0) & (below == 0.0)] = 1.0
  low, high = bootstrap.interval(
    ratios, value, resampling.confidence, num_independent
  )
  if not np.isfinite(high):
    return {'value': None, 'reason': missing}
  return {'value': float(value), 'low': float(low), 'high': float(high)}


def tar_name(far) -> str:
  """Name of a metric: 'tar@far=1e-3' for 0.001."""
  return f'tar@far={error_rates.short(far)}'


def fnmr_name(fmr) -> str:
  """Name of a metric: 'fnmr@fmr=1e-4' for 0.0001."""
  return f'fnmr@fmr={error_rates.short(fmr)}'

"""Genuine scores and FNMR of palms whose identity is known.

A pair of images of one palm is compared as palms of strangers are: less means
that this palm is not in. Identities are dealt into folds. For those of a fold,
means are of the identities of the other folds, and standards of their pairs.
"""

from typing import NamedTuple

import numpy as np

from palmjax.evals import bootstrap
from palmjax.inference import parts

_FOLDS = 5


class GenuinePairs(NamedTuple):
  """Pairs of images of one palm.

  Attributes:
    parts: float32 [3, G], in the order of `parts.NAMES`.
    fused: float64 [G].
    identity: int [G], whose palm.
    rows: int [G], an image of each pair.
    columns: int [G], the other one.
  """

  parts: np.ndarray
  fused: np.ndarray
  identity: np.ndarray
  rows: np.ndarray
  columns: np.ndarray


def genuine(templates, identities, strangers, *, seed=0):
  """Genuine scores: all pairs of images that show one palm.

  Args:
    templates: `parts.Templates` of N images.
    identities: int [N], from 0 to the number K of palms less 1.
    strangers: float32 [3, K, K], `cohort.cross_fitted` of the first image of
      each palm.
    seed: of the folds.

  Returns:
    `GenuinePairs`, by rising identity; none if each palm has one image.
  """
  identities = np.asarray(identities)
  count = identities.max() + 1
  rng = np.random.default_rng(seed)
  folds = rng.permutation(count) % _FOLDS
  first = np.array([np.argmax(identities == i) for i in range(count)])
  scores, fused, rows, columns = [], [], [], []
  for fold in range(_FOLDS):
    inside = np.flatnonzero(folds[identities] == fold)
    same = identities[inside][:, None] == identities[inside]
    pairs = np.nonzero(np.triu(same, 1))
    if not len(pairs[0]):
      continue
    others = templates.take(first[folds != fold])
    # As strongly whitened as the strangers.
    means = parts.means(others, strength=count)
    of_fold = parts.compare(
      templates.take(inside), templates.take(inside), means
    )[:, pairs[0], pairs[1]]
    scores.append(of_fold)
    apart = folds != fold
    standard = _standard(strangers[:, apart][:, :, apart])
    fused.append(parts.fuse(of_fold, standard))
    rows.append(inside[pairs[0]])
    columns.append(inside[pairs[1]])
  if not scores:
    none = np.empty(0, np.int64)
    return GenuinePairs(
      np.empty((len(parts.NAMES), 0), np.float32),
      np.empty(0),
      none,
      none,
      none,
    )
  scores = np.concatenate(scores, axis=1)
  fused, rows, columns = map(np.concatenate, (fused, rows, columns))
  order = np.lexsort((columns, rows, identities[rows]))
  return GenuinePairs(
    scores[:, order],
    fused[order],
    identities[rows[order]],
    rows[order],
    columns[order],
  )


def _standard(scores):
  """`parts.standard` of scores [3, P, P], symmetric."""
  rows, columns = np.triu_indices(scores.shape[1], 1)
  return parts.standard(scores[:, rows, columns], scores.shape[1])


def fnmr(scores, identity, threshold, resampling=bootstrap.DEFAULT):
  """False non-match rate at a threshold, with its interval over identities.

  Args:
    scores: float [G], of genuine pairs, G at least 1.
    identity: int [G].
    threshold: pairs below it are missed.
    resampling: `bootstrap.Resampling`.

  Returns:
    {'value', 'low', 'high', 'missed', 'pairs'}.
  """
  _, identity = np.unique(identity, return_inverse=True)
  pairs = np.bincount(identity)
  missed = np.bincount(identity, weights=np.asarray(scores) < threshold)
  value = missed.sum() / pairs.sum()
  weights = bootstrap.draw(len(pairs), resampling)
  low, high = bootstrap.bounds(
    ((weights @ missed) / (weights @ pairs))[:, None],
    np.array([value]),
    resampling.confidence,
    num_independent=len(pairs),
    best=np.array([0.0]),
  )
  # Few misses reach no less far than none: rule of 3.
  unseen = bootstrap.unseen_share(resampling.confidence, len(pairs))
  return {
    'value': float(value),
    'low': float(low[0]),
    'high': float(max(high[0], unseen)),
    'missed': int(missed.sum()),
    'pairs': int(pairs.sum()),
  }

"""Triplet losses: an anchor nearer to its identity than to all others.

  max(0, d(a, p) - d(a, n) + α)

over triplets of one batch, p of the anchor's identity, n of another (FaceNet,
arXiv:1503.03832, eq. 3). Which triplets: for each anchor the hardest
(arXiv:1703.07737, eq. 5), or the semi-hard ones, whose negative is farther than
the positive, but not by α.

d is the squared Euclidean distance of unit vectors, or 1 - cos. As
|a - b|² = 2 - 2 cos, these are one loss: α on squared distances is twice α/2 on
1 - cos.
"""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from palmjax.ops import vectors


class Triplets(NamedTuple):
  """Mean triplet loss and number of triplets of each anchor.

  Attributes:
    losses: float [B], mean over the anchor's triplets; 0 if it has none.
    counts: int32 [B], triplets of the anchor.
  """

  losses: jax.Array
  counts: jax.Array


def squared_euclidean(embeddings):
  """|a - b|² of all pairs of unit vectors along [B, D]: [B, B]."""
  return 2.0 * cosine_distances(embeddings)


def cosine_distances(embeddings):
  """1 - cos of all pairs of embeddings [B, D]: [B, B]."""
  # Linear in the products: no root, so a finite derivative at distance zero.
  return 1.0 - vectors.cosines(embeddings, embeddings)


def batch_hard(distances, labels, *, margin=0.2):
  """Batch-hard triplet loss: farthest positive, nearest negative.

  An anchor without a positive or without a negative has no triplet.

  Args:
    distances: float [B, B], of the functions above.
    labels: int [B].
    margin: α, in units of the distances.

  Returns:
    `Triplets`, counts 0 or 1.
  """
  positive, negative = _pairs(distances, labels)
  farthest = _pick(distances, jnp.where(positive, distances, -jnp.inf))
  nearest = _pick(distances, jnp.where(negative, -distances, -jnp.inf))
  valid = jnp.any(positive, axis=1) & jnp.any(negative, axis=1)
  losses = jax.nn.relu(farthest - nearest + margin)
  return Triplets(jnp.where(valid, losses, 0.0), valid.astype(jnp.int32))


def semi_hard(distances, labels, *, margin=0.2):
  """Triplet loss with semi-hard mining: hardest semi-hard negatives.

  That is the nearest with d(a, p) < d(a, n) < d(a, p) + α. A pair without one
  makes no triplet, be all negatives farther or all nearer than the positive:
  the latter, FaceNet found, lead to collapse early in training.

  Args:
    distances: float [B, B], of the functions above.
    labels: int [B].
    margin: α, in units of the distances.

  Returns:
    `Triplets`, counts 0 to the number of positives.
  """
  positive, negative = _pairs(distances, labels)
  # [anchor, positive, negative], in one reduction and so never held in memory.
  gaps = distances[:, :, None] - distances[:, None, :]
  fits = negative[:, None, :] & (gaps < 0.0) & (gaps > -margin)
  nearest = jnp.argmax(jnp.where(fits, gaps, -jnp.inf), axis=2)
  gap = distances - jnp.take_along_axis(distances, nearest, axis=1)
  # Where none fits, `nearest` points at one that does not.
  fits = jnp.take_along_axis(negative, nearest, axis=1)
  is_semi_hard = positive & fits & (gap < 0.0) & (gap > -margin)
  losses = jnp.where(is_semi_hard, gap + margin, 0.0)
  counts = jnp.sum(is_semi_hard, axis=1)
  return Triplets(jnp.sum(losses, axis=1) / jnp.maximum(counts, 1), counts)


def mean(triplets):
  """Mean loss of the triplets: scalar; 0 where there are none."""
  losses, counts = triplets
  chex.assert_rank([losses, counts], 1)
  chex.assert_equal_shape([losses, counts])
  return jnp.sum(losses * counts) / jnp.maximum(jnp.sum(counts), 1)


def _pairs(distances, labels):
  """Masks [B, B]: another image of the anchor's identity, of another one."""
  chex.assert_rank(labels, 1)
  chex.assert_shape(distances, (labels.size, labels.size))
  same = labels[:, None] == labels[None, :]
  return same & ~jnp.eye(labels.size, dtype=bool), ~same


def _pick(distances, preference):
  """Of each row the distance with the highest preference: [B, B] → [B]."""
  index = jnp.argmax(preference, axis=1)[:, None]
  return jnp.take_along_axis(distances, index, axis=1)[:, 0]

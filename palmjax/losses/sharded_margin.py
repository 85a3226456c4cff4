"""Softmax with a margin over classes that are split over devices.

These functions run inside `jax.shard_map`. Device i has some rows of the class
weights, no device has all. With z_j = s cos θ_j for class j, z_y = s f(cos θ_y)
for the label y and f the margin (`losses.metric`), the loss of an image is

  ℓ = M + log Σ_i Σ_(j on i) exp(z_j - M) - z_y,   M = max_j z_j

The outer sum and the maximum go over the devices, and so does cos θ_y: of the
devices one has the row of the label.

Sampled negatives (Partial FC, arXiv:2010.05222, 2203.15565): in a step, each
device takes part with the rows of the labels of the batch and with other rows
that are drawn at random. The loss has fewer terms, so it is a lower bound of
the loss over all classes.
"""

import math

import chex
import jax
import jax.numpy as jnp
from jax import lax

from palmjax.ops import vectors

# In the place of a class: a row that is none. It counts as no negative.
NO_CLASS = -1
# Random bits of a row that is never drawn.
_NEVER = 2**32 - 1


def rows_per_shard(num_classes, shards):
  """Rows on each of `shards` devices, which hold `num_classes` in all."""
  return -(-num_classes // shards)


def classes_of_shard(num_rows, num_classes, axis):
  """The class of each row of this device: int32 [R]; `NO_CLASS` for padding.

  Args:
    num_rows: R.
    num_classes: K, at most R times the devices.
    axis: name of the mesh axis that splits the classes.
  """
  classes = lax.axis_index(axis) * num_rows + jnp.arange(num_rows)
  return jnp.where(classes < num_classes, classes, NO_CLASS)


def cross_entropies(embeddings, rows, classes, labels, *, margin, scale, axis):
  """Cross-entropy of each image over the classes of all devices of `axis`.

  Args:
    embeddings: float [B, D], the same on all devices of `axis`.
    rows: float [R, D], class weights on this device.
    classes: int [R], the class of each row, or `NO_CLASS`; no class twice.
    labels: int [B], the same on all devices of `axis`; one device has the row.
    margin: f, the cosine of the label [B] → the one that is trained on.
    scale: s.
    axis: name of the mesh axis that splits the classes.

  Returns:
    float [B], losses; bool [B], whether the label has the largest cosine. Both
    are the same on all devices of `axis`.
  """
  chex.assert_rank([embeddings, rows], 2)
  chex.assert_shape(classes, (rows.shape[0],))
  chex.assert_shape(labels, (embeddings.shape[0],))
  cosine = vectors.cosines(embeddings, rows)
  is_label = classes == labels[:, None]
  target = lax.psum(jnp.sum(jnp.where(is_label, cosine, 0.0), axis=1), axis)
  moved = margin(target)
  logits = scale * jnp.where(is_label, moved[:, None], cosine)
  logits = jnp.where(classes == NO_CLASS, -jnp.inf, logits)
  # No gradient: M takes no part in the value.
  largest = _largest(logits, axis)
  exponentials = jnp.exp(logits - largest[:, None])
  total = lax.psum(jnp.sum(exponentials, axis=1), axis)
  best = _largest(jnp.where(classes == NO_CLASS, -jnp.inf, cosine), axis)
  # In this order a small loss keeps its digits.
  return jnp.log(total) - (scale * moved - largest), target >= best


def sample_size(num_rows, batch_size, share):
  """Rows of each device that take part in a step.

  Args:
    num_rows: R, rows of a device.
    batch_size: images of a step; all their labels may lie on one device.
    share: of the rows, in (0, 1].

  Returns:
    int: the share, rounded up, and never fewer than the labels may need.

  Raises:
    ValueError: a share that is none.
  """
  if not 0 < share <= 1:
    raise ValueError(f'share={share}: give a share above 0 and at most 1')
  # Products like .07 · 100 end just above a whole number.
  drawn = math.ceil(round(share * num_rows, 6))
  return max(drawn, min(batch_size, num_rows))


def sample_rows(key, labels, classes, *, size, axis):
  """Draws rows of this device: those of the labels, and others at random.

  All rows of a device that are no labels have the same chance.

  Args:
    key: random key, the same on all devices.
    labels: int [B] of the whole batch, the same on all devices.
    classes: int [R] of `classes_of_shard`.
    size: S, of `sample_size`.
    axis: name of the mesh axis that splits the classes.

  Returns:
    int32 [S], rising: rows of this device, and R in places that are left over;
    int32 [S], the classes of the rows, `NO_CLASS` in such places.
  """
  chex.assert_rank([labels, classes], 1)
  num_rows = classes.shape[0]
  key = jax.random.fold_in(key, lax.axis_index(axis))
  # 1 to 2³¹ - 1. A label has 0: it comes first.
  bits = jnp.maximum(jax.random.bits(key, (num_rows,)) >> 1, 1)
  bits = jnp.where(classes == NO_CLASS, jnp.uint32(_NEVER), bits)
  position = labels - lax.axis_index(axis) * num_rows
  # A negative index would count from the end.
  position = jnp.where(position < 0, num_rows, position)
  bits = bits.at[position].set(0, mode='drop')
  # `top_k` would do too, but takes four times as long on a CPU. Rows with equal
  # bits are drawn together or not at all: so a place may be left over.
  (drawn,) = jnp.nonzero(
    bits < _threshold(bits, size), size=size, fill_value=num_rows
  )
  return drawn, classes.at[drawn].get(mode='fill', fill_value=NO_CLASS)


def take_rows(rows, drawn):
  """Rows [R, …] of this device that were drawn: [S, …]; 0 in left over places.

  Args:
    rows: [R, …].
    drawn: int [S], of `sample_rows`.
  """
  return rows.at[drawn].get(mode='fill', fill_value=0)


def put_rows(rows, drawn, changed):
  """Rows [R, …] of this device, with those that were drawn from `changed`.

  Args:
    rows: [R, …].
    drawn: int [S], of `sample_rows`.
    changed: [S, …].
  """
  return rows.at[drawn].set(changed, mode='drop')


def _threshold(bits, size):
  """The largest t that at most `size` of the numbers uint32 [R] are below."""
  threshold = jnp.uint32(0)
  for bit in reversed(range(32)):
    higher = threshold | jnp.uint32(1 << bit)
    fits = jnp.sum(bits < higher) <= size
    threshold = jnp.where(fits, higher, threshold)
  return threshold


def _largest(values, axis):
  """Largest of each row, over all devices, without gradient: [B, R] → [B]."""
  return lax.pmax(jnp.max(lax.stop_gradient(values), axis=1), axis)

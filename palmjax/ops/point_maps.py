"""The three points of palm frames as maps of their own (arXiv:1904.07850 §6.2).

A point tells where it is better than the centre of its hand does: each kind of
point has a heatmap, as classes of objects have, and all share an offset from
the cell to the place. What the centre says chooses among the peaks.

Hands whose frame is not known have points too. Inside their boxes nobody can
say that there is none: those cells are not known.
"""

import chex
import jax
import jax.numpy as jnp

from palmjax.ops import cells

# Logits of the three heatmaps, then x and y of the offset.
VALUES = 5
KINDS = 3
# Radius of a point's blob, of the radius of its hand's.
_REACH = 1 / 3
# A peak so far from where the centre says, in sizes of the hand, needs odds √e
# times as high as one right there.
_NEAR = 0.15
# A point nowhere seen with this probability is where the centre says.
_LEAST = 0.1


def encode(points, boxes, reach, *, framed, unframed, shape):
  """What the maps of points should be.

  Args:
    points: float [B, M, 3, 2], (x, y) in cells.
    boxes: float [B, M, 4], (x0, y0, x1, y1) in cells.
    reach: float [B, M], radius of the hands' blobs.
    framed: bool [B, M], hands whose points are known.
    unframed: bool [B, M], hands whose points are not.
    shape: (h, w) of the maps.

  Returns:
    {'point_heatmap': float32 [B, h, w, 3] in [0, 1], 'point_known': bool
    [B, h, w], 'point_cells': int32 [B, 27·M], 'point_present': bool [B, 27·M],
    'point_offset': float [B, 27·M, 2]}: each point from the nine cells around
    it, 0 where not present.
  """
  batch = points.shape[0]
  points = points.reshape(batch, -1, 2)
  cell = jnp.floor(points)
  present = jnp.repeat(framed, KINDS, axis=1) & cells.inside(cell, shape)
  kinds = jnp.tile(jnp.arange(KINDS), framed.shape[1])
  index, near = cells.spread(cell, present, shape)
  offset = cells.seen_from_neighbours(points - cell)
  return {
    'point_heatmap': cells.heatmap(
      cell,
      jnp.repeat(jnp.maximum(jnp.floor(reach * _REACH), 1.0), KINDS, axis=1),
      jnp.where(present, kinds, KINDS),
      shape=shape,
      num_classes=KINDS,
    ),
    'point_known': ~_covered(boxes, unframed, shape),
    'point_cells': index,
    'point_present': near,
    'point_offset': jnp.where(near[..., None], offset, 0.0),
  }


def refine(points, size, values):
  """Points as their own maps show them.

  Args:
    points: float [B, K, 3, 2], (x, y) in cells, as the centres of hands say.
    size: float [B, K, 2] of the hands, in cells.
    values: float [B, h, w, 5], logits and offset.

  Returns:
    float [B, K, 3, 2].
  """
  batch, height, width, _ = values.shape
  chex.assert_shape(values, (batch, height, width, VALUES))
  chex.assert_shape(points, (batch, None, KINDS, 2))
  # Of every cell, where it says that the point is: [B, h · w, 2].
  columns, rows = jnp.meshgrid(jnp.arange(width), jnp.arange(height))
  places = values[..., KINDS:] + jnp.stack([columns, rows], axis=-1)
  places = places.reshape(batch, -1, 2)
  logits = values[..., :KINDS].reshape(batch, 1, -1, KINDS)
  scale = _NEAR * jnp.maximum(jnp.sqrt(jnp.prod(size, axis=-1)), 1.0)
  gaps = points[:, :, :, None] - places[:, None, None]
  gaps = jnp.sum(jnp.square(gaps), axis=-1) / scale[..., None, None] ** 2
  score = jnp.swapaxes(logits, 2, 3) - gaps / 2
  best = jnp.argmax(score, axis=-1)
  index = best.reshape(batch, -1)
  place, logit = (
    cells.at_cells(x, index).reshape(*best.shape, -1)
    for x in (places[:, None], values[..., :KINDS])
  )
  own = jnp.diagonal(logit, axis1=2, axis2=3)
  seen = jax.nn.sigmoid(own)[..., None] >= _LEAST
  return jnp.where(seen, place, points)


def _covered(boxes, mask, shape):
  """Cells whose centre lies in one of the boxes [B, M, 4]: bool [B, h, w]."""

  def along(low, high, length):
    centre = jnp.arange(length) + 0.5
    return (centre >= low[..., None]) & (centre <= high[..., None])

  x0, y0, x1, y1 = jnp.unstack(boxes, axis=-1)
  rows = along(y0, y1, shape[0]) & mask[..., None]
  columns = along(x0, x1, shape[1])
  return jnp.any(rows[..., :, None] & columns[..., None, :], axis=1)

"""The three points of palm frames as maps of their own (arXiv:1904.07850 §6.2).

A point tells where it is better than the centre of its hand does: each kind of
point has a heatmap, as classes of objects have, and an offset from the cell to
the place. Every hand takes the cell of the best logit, less what its distance
from where the centre says costs.

Hands whose palm frame is not known have points too. Inside their boxes nobody
can say that there is none: those cells are not known.
"""

import chex
import jax
import jax.numpy as jnp

from palmjax.ops.maps import cells

KINDS = 3
# Logits of the heatmaps, then x and y of the offset of each kind.
VALUES = KINDS + 2 * KINDS
# Radius of a point's blob, of the radius of its hand's.
_REACH = 1 / 3
# A cell so far from where the centre says, in sizes of the hand, needs odds √e
# times as high as one right there.
_NEAR = 0.15
# With less the centre is believed. A fresh network says 0.1 everywhere.
_LEAST = 0.2


def encode(points, boxes, reach, *, framed, unframed, shape, count=9):
  """Target maps of the palm frame's points: heatmaps and offsets.

  Args:
    points: float [B, M, 3, 2], (x, y) in cells.
    boxes: float [B, M, 4], (x0, y0, x1, y1) in cells.
    reach: float [B, M], radius of the hands' blobs.
    framed: bool [B, M], hands whose points are known.
    unframed: bool [B, M], hands whose points are not.
    shape: (h, w) of the maps.
    count: cells that tell of a point, as in `cells.spread`.

  Returns:
    {'point_heatmap': float32 [B, h, w, 3] in [0, 1], 'point_known': bool
    [B, h, w], 'point_cells': int32 [B, R], 'point_present': bool [B, R],
    'point_offset': float [B, R, 2]}, R = 3·count·M: each point from the cells
    around it, 0 where not present. Row r is of kind r mod 3.
  """
  batch = points.shape[0]
  points = points.reshape(batch, -1, 2)
  cell = jnp.floor(points)
  present = jnp.repeat(framed, KINDS, axis=1) & cells.inside(cell, shape)
  kinds = jnp.tile(jnp.arange(KINDS), framed.shape[1])
  index, near = cells.spread(cell, present, shape, count=count)
  offset = cells.seen_from_neighbours(points - cell, count=count)
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


def logits_of(values):
  """Logits of the heatmaps: [..., 9] → [..., 3]."""
  return values[..., :KINDS]


def offsets_of(values):
  """Offsets of each kind: [..., 9] → [..., 3, 2]."""
  return values[..., KINDS:].reshape(*values.shape[:-1], KINDS, 2)


def offsets_of_rows(values):
  """Offsets of the kind of each row of `encode`: [B, R, 9] → [B, R, 2]."""
  kinds = jnp.arange(values.shape[1]) % KINDS
  offsets = offsets_of(values)
  return jnp.take_along_axis(offsets, kinds[:, None, None][None], 2)[:, :, 0]


def refine(points, size, values):
  """Refines points by the heatmaps and offsets of the points.

  Args:
    points: float [B, K, 3, 2], (x, y) in cells, as the centres of hands say.
    size: float [B, K, 2] of the hands, in cells.
    values: float [B, h, w, 9], logits and offsets.

  Returns:
    float [B, K, 3, 2].
  """
  batch, height, width, _ = values.shape
  chex.assert_shape(values, (batch, height, width, VALUES))
  chex.assert_shape(points, (batch, None, KINDS, 2))
  # Of every cell, where it says that the points are: [B, 3, h · w, 2].
  places = offsets_of(values) + cells.grid((height, width))[:, :, None]
  places = jnp.moveaxis(places.reshape(batch, -1, KINDS, 2), 2, 1)
  logits = jnp.moveaxis(logits_of(values).reshape(batch, -1, KINDS), 2, 1)
  scale = _NEAR * jnp.maximum(jnp.sqrt(jnp.prod(size, axis=-1)), 1.0)
  gaps = points[:, :, :, None] - places[:, None]
  gaps = jnp.sum(jnp.square(gaps), axis=-1) / scale[..., None, None] ** 2
  # [B, 3, K]: the best cell.
  best = jnp.argmax(logits[:, None] - gaps / 2, axis=-1).swapaxes(1, 2)
  place = jnp.take_along_axis(places, best[..., None], axis=2)
  logit = jnp.take_along_axis(logits, best, axis=2)
  seen = jax.nn.sigmoid(logit)[..., None] >= _LEAST
  return jnp.where(seen.swapaxes(1, 2), place.swapaxes(1, 2), points)


def _covered(boxes, mask, shape):
  """Cells whose centre lies in one of the boxes [B, M, 4]: bool [B, h, w]."""

  def along(low, high, length):
    centre = jnp.arange(length) + 0.5
    return (centre >= low[..., None]) & (centre <= high[..., None])

  x0, y0, x1, y1 = jnp.unstack(boxes, axis=-1)
  rows = along(y0, y1, shape[0]) & mask[..., None]
  columns = along(x0, x1, shape[1])
  return jnp.any(rows[..., :, None] & columns[..., None, :], axis=1)

"""Map cells: values at cells, neighbours, Gaussian heatmaps."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

# (x, y) from a cell to itself, first, and to its eight neighbours.
STEPS = np.array(
  sorted(np.ndindex(3, 3), key=lambda step: step != (1, 1)), np.float32
) - np.float32(1)


def at_cells(values, cells):
  """Values of a map [B, h, w, D] at cells int [B, M]: [B, M, D]."""
  chex.assert_rank([values, cells], [4, 2])
  rows = values.reshape(values.shape[0], -1, values.shape[-1])
  return jnp.take_along_axis(rows, cells[..., None], axis=1)


def grid(shape):
  """Every cell (x, y) of a map of shape (h, w): int [h, w, 2]."""
  columns, rows = jnp.meshgrid(jnp.arange(shape[1]), jnp.arange(shape[0]))
  return jnp.stack([columns, rows], axis=-1)


def inside(cell, shape):
  """Whether cells (x, y) [..., 2] are of a map of shape (h, w): bool [...]."""
  limits = jnp.array(shape[::-1], jnp.float32)
  return jnp.all((cell >= 0) & (cell < limits), axis=-1)


def spread(cell, present, shape, *, count=9):
  """Adds the neighbours of cells to a list of cells.

  Args:
    cell: float [B, M, 2], whole numbers (x, y).
    present: bool [B, M].
    shape: (h, w) of the map.
    count: 9, or 1 for the cells alone.

  Returns:
    cells: int32 [B, count·M], row · w + column, 0 where not present; first the
      M cells themselves, then all of them moved by the second of `STEPS`, …
    present: bool [B, count·M]: it was, and lies inside the map, and no
      neighbour is a present cell itself.
  """
  moved = cell[:, None] + STEPS[:count, None]
  kept = present[:, None] & inside(moved, shape)
  is_cell = jnp.all(moved[:, 1:, :, None] == cell[:, None, None], axis=-1)
  taken = jnp.any(is_cell & present[:, None, None], axis=-1)
  kept = kept.at[:, 1:].set(kept[:, 1:] & ~taken)
  columns, rows = jnp.unstack(moved.astype(jnp.int32), axis=-1)
  cells = jnp.where(kept, rows * shape[1] + columns, 0)
  return tuple(x.reshape(x.shape[0], -1) for x in (cells, kept))


def seen_from_neighbours(places, *, count=9):
  """Positions relative to a cell and to each of its neighbours.

  Args:
    places: float [B, M, ..., 2].
    count: as in `spread`.

  Returns:
    float [B, count·M, ..., 2] in the order of `spread`.
  """
  steps = STEPS[:count].reshape(count, *[1] * (places.ndim - 2), 2)
  moved = places[:, None] - steps
  return moved.reshape(places.shape[0], -1, *places.shape[2:])


def heatmap(cell, reach, classes, *, shape, num_classes):
  """Gaussian heatmap with a blob of radius r at each cell.

  Args:
    cell: float [B, M, 2], c as whole numbers (x, y).
    reach: float [B, M], r.
    classes: int [B, M]; `num_classes` or more: no blob.
    shape: (h, w) of the map.
    num_classes: C.

  Returns:
    float32 [B, h, w, C], the largest of the blobs of a class; 1 at every c.
  """

  def along(position, length):
    distance = jnp.arange(length) - position[..., None]
    sigma = (2 * reach[..., None] + 1) / 6
    near = jnp.abs(distance) <= reach[..., None]
    return jnp.where(near, jnp.exp(-(distance**2) / (2 * sigma**2)), 0.0)

  vertical = along(cell[..., 1], shape[0])
  horizontal = along(cell[..., 0], shape[1])
  one_hot = jax.nn.one_hot(classes, num_classes)

  def add(heatmap, item):
    # One blob of each image at a time: all at once need M such arrays.
    vertical, horizontal, one_hot = item
    blob = vertical[:, :, None] * horizontal[:, None]
    return jnp.maximum(heatmap, blob[..., None] * one_hot[:, None, None]), None

  blobs = [
    jnp.moveaxis(values, 1, 0) for values in (vertical, horizontal, one_hot)
  ]
  empty = jnp.zeros((cell.shape[0], *shape, num_classes))
  return lax.scan(add, empty, blobs)[0]

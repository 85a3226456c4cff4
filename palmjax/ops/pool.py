"""Means over blocks: an image or a map, shrunk by a factor or to a grid."""

import chex
import jax
import jax.numpy as jnp
import numpy as np


def block_mean(x, factor):
  """Mean over factor × factor blocks.

  Args:
    x: float [B, H, W, C].
    factor: int ≥ 1.

  Returns:
    [B, H / factor, W / factor, C].

  Raises:
    ValueError: `factor` does not divide H and W.
  """
  chex.assert_rank(x, 4)
  batch, height, width, channels = x.shape
  if height % factor or width % factor:
    raise ValueError(
      f'cannot shrink {height}×{width} by {factor}: both sides must be '
      f'multiples of {factor}'
    )
  blocks = x.reshape(
    batch, height // factor, factor, width // factor, factor, channels
  )
  return jnp.mean(blocks, axis=(2, 4))


def cell_means(x, cells):
  """Mean over the cells of a coarse grid, for maps of any size.

  Cell i of G covers rows ⌊iH/G⌋ to ⌈(i + 1)H/G⌉ − 1. Neighbours share a row
  where G does not divide H. Columns likewise.

  Args:
    x: float [B, H, W, C].
    cells: G ≥ 1, of each side; a shorter side keeps its own size.

  Returns:
    [B, min(G, H), min(G, W), C].
  """
  chex.assert_rank(x, 4)
  rows, columns = (_averages(side, cells, x.dtype) for side in x.shape[1:3])
  return jnp.einsum(
    'gh,bhwc,kw->bgkc', rows, x, columns, precision=jax.lax.Precision.HIGHEST
  )


def _averages(side, cells, dtype):
  """[G, side], each row the weights of the mean over one cell."""
  cells = min(cells, side)
  weights = np.zeros((cells, side))
  for cell in range(cells):
    start, stop = cell * side // cells, -(-(cell + 1) * side // cells)
    weights[cell, start:stop] = 1 / (stop - start)
  return jnp.asarray(weights, dtype)

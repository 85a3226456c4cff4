"""Maps as tiles of Winograd's F(4×4, 3×3), transformed, and back.

The matrices and letters are those of `winograd`. Each transform is six sums of
rows of a tile, then six sums of columns, each of slices of the maps. It gives
36 planes: [tiles, channels], or [C, K] of a kernel. They are numbered row by
row. Three planes form one array, so there are 12 arrays (why: see `products`).
"""

import jax.numpy as jnp
import numpy as np
from jax import lax

TILE = 4
WINDOW = 3
SIDE = TILE + WINDOW - 1
_GROUP = 3

# Of the points 0, ±1, ±2, ∞ (appendix of arXiv:1509.09308).
INPUT = np.array(
  [
    [4, 0, -5, 0, 1, 0],
    [0, -4, -4, 1, 1, 0],
    [0, 4, -4, -1, 1, 0],
    [0, -2, -1, 2, 1, 0],
    [0, 2, -1, -2, 1, 0],
    [0, 4, 0, -5, 0, 1],
  ],
  np.float32,
)
KERNEL = np.array(
  [
    [1 / 4, 0, 0],
    [-1 / 6, -1 / 6, -1 / 6],
    [-1 / 6, 1 / 6, -1 / 6],
    [1 / 24, 1 / 12, 1 / 6],
    [1 / 24, -1 / 12, 1 / 6],
    [0, 0, 1],
  ],
  np.float32,
)
OUTPUT = np.array(
  [
    [1, 1, 1, 1, 1, 0],
    [0, 1, -1, 2, -2, 0],
    [0, 1, 1, 4, 4, 0],
    [0, 1, -1, 8, -8, 1],
  ],
  np.float32,
)


def transform(x, padding):
  """V, Bᵀ d B of every tile: [B, H, W, C] → 12 × [3, tiles, C].

  The tiles of 6×6 overlap by two. Tile (k, l) of an image reads from row
  4k − top and column 4l − left on, zeros where there is no map.
  """
  batch, height, width, channels = x.shape
  rows, columns = count(output_size(x.shape, padding))
  (top, _), (left, _) = padding
  bottom = TILE * (rows + 1) - height - top
  right = TILE * (columns + 1) - width - left
  x = _pad(x.astype(jnp.float32), {1: (top, bottom), 2: (left, right)})
  x = x.reshape(batch, rows + 1, TILE, -1, channels)
  u = jnp.stack(_sums(INPUT, _windows(x, 1)))
  u = u.reshape(SIDE, batch, rows, columns + 1, TILE, channels)
  return _groups([_sums(INPUT, _windows(row, 2)) for row in u])


def add_up(v, shape, padding):
  """The transpose of `transform`: 12 × [3, tiles, C] → [B, H, W, C]."""
  batch, height, width, channels = shape
  rows, columns = count(output_size(shape, padding))
  (top, _), (left, _) = padding
  x = []
  for row in _planes(v, (batch, rows, columns, channels)):
    cells = _overlap(_sums(INPUT.T, row), 2)
    x.append(cells.reshape(batch, rows, -1, channels))
  x = _overlap(_sums(INPUT.T, x), 1)
  x = x.reshape(batch, TILE * (rows + 1), -1, channels)
  return x[:, top : top + height, left : left + width]


def assemble(products, batch, height, width):
  """Aᵀ m A of every tile m: 12 × [3, tiles, K] → [B, H', W', K]."""
  rows, columns = count((height, width))
  y = [
    group.reshape(-1, batch, rows, columns, group.shape[-1])
    for group in products
  ]
  y = jnp.stack(_contract(OUTPUT, y), 4)
  y = jnp.moveaxis(y, 0, 2)  # [B, rows, 4, columns, 4, K]
  y = y.reshape(batch, TILE * rows, TILE * columns, -1)
  return y[:, :height, :width]


def take_apart(g):
  """Z, A g Aᵀ of every tile, the transpose of `assemble`."""
  batch, height, width, features = g.shape
  rows, columns = count((height, width))
  borders = {1: (0, TILE * rows - height), 2: (0, TILE * columns - width)}
  g = _pad(g.astype(jnp.float32), borders)
  g = g.reshape(batch, rows, TILE, columns, TILE, features)
  z = jnp.stack(_sums(OUTPUT.T, [g[:, :, i] for i in range(TILE)]))
  return _groups(
    [_sums(OUTPUT.T, [row[..., j, :] for j in range(TILE)]) for row in z]
  )


def transform_kernel(kernel):
  """U, G g Gᵀ: [3, 3, C, K] → 12 × [3, C, K], float32."""
  rows = _sums(KERNEL, list(kernel.astype(jnp.float32)))
  return _groups([_sums(KERNEL, list(row)) for row in rows])


def add_up_kernel(u):
  """The transpose of `transform_kernel`."""
  return jnp.stack(_contract(KERNEL.T, u), 1)


def output_size(shape, padding):
  """Height and width of the output of maps of a shape [B, H, W, C]."""
  return tuple(
    size + sum(border) - WINDOW + 1
    for size, border in zip(shape[1:3], padding, strict=True)
  )


def count(size):
  """Tiles along both axes that cover an output of (height, width)."""
  return tuple(-(-extent // TILE) for extent in size)


def _sums(matrix, parts):
  """Σ_j matrix[i, j] parts[j], for each i; zeros are left out."""
  return [
    sum(
      float(factor) * part
      for factor, part in zip(row, parts, strict=True)
      if factor
    )
    for row in matrix
  ]


def _groups(planes):
  """6 × 6 arrays [..., C] → 12 × [3, rows, C]."""
  return [
    jnp.stack(row[j : j + _GROUP]).reshape(_GROUP, -1, row[0].shape[-1])
    for row in planes
    for j in range(0, SIDE, _GROUP)
  ]


def _planes(groups, shape):
  """12 × [3, ...] → 6 × 6 arrays of a shape."""
  planes = [plane.reshape(shape) for group in groups for plane in group]
  return [planes[i : i + SIDE] for i in range(0, SIDE**2, SIDE)]


def _contract(matrix, groups):
  """Σ_ij matrix[a, i] matrix[b, j] plane[i, j]: for each b, [a, ...]."""
  in_row = SIDE // _GROUP
  columns = []
  for j in range(in_row):
    sums = jnp.stack(_sums(matrix, groups[j::in_row]), 1)
    columns += list(sums)
  return _sums(matrix, columns)


def _windows(cells, axis):
  """The six rows of each tile: four of a cell and two of the next.

  Args:
    cells: [..., n + 1, 4, ...], n + 1 at `axis`.

  Returns:
    Six arrays [..., n, ...].
  """
  length = cells.shape[axis] - 1
  return [
    lax.index_in_dim(
      lax.slice_in_dim(cells, i // TILE, i // TILE + length, axis=axis),
      i % TILE,
      axis + 1,
      keepdims=False,
    )
    for i in range(SIDE)
  ]


def _overlap(parts, axis):
  """The transpose of `_windows`: six [..., n, ...] → [..., n + 1, 4, ...]."""
  cells = [_pad(part, {axis: (0, 1)}) for part in parts[:TILE]]
  for i, part in enumerate(parts[TILE:]):
    cells[i] += _pad(part, {axis: (1, 0)})
  return jnp.stack(cells, axis + 1)


def _pad(x, borders):
  """Zeros before and after, {axis: (low, high)}."""
  sides = [(*borders.get(axis, (0, 0)), 0) for axis in range(x.ndim)]
  return lax.pad(x, jnp.zeros((), x.dtype), sides)

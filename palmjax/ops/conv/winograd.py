"""3×3 convolution of stride 1 by Winograd's F(4×4, 3×3) (arXiv:1509.09308).

A tile of 4×4 outputs needs 6×6 inputs d and 36 products for each pair of
channels, where the sum over the window needs 144:

  y = Aᵀ [ (G g Gᵀ) ⊙ (Bᵀ d B) ] A

summed over input channels, which makes 36 matrix products of the ⊙. What is
gained there is easily lost on the way to the tiles and back. So a few images at
a time are transformed, multiplied and put together again, while their tiles are
in the processor's cache: those of a batch are 2.25 times as large as its maps.
A transform is six sums of rows of a tile, then six sums of columns, each of
slices of the maps. The gradients are made alike. With V the transformed tiles,
U the transformed kernel and Z = A (gradient in y) Aᵀ,

  gradient in d = B (Z Uᵀ) Bᵀ      gradient in g = Gᵀ (Σ Vᵀ Z) G

where the tiles overlap by two and are added up. V is made again rather than
kept: V of 64²×64 is 75 MB a layer.

What it takes, forward and both gradients: milliseconds on 2 cores with AVX-512,
batch 32, jax 0.10.2, freed memory kept (`engine.allocator`). "One product" is
each transform as one matrix product of both axes, [36, 36] with all tiles:

  map, channels     64²×64   32²×128   16²×256   8²×512
  sums of slices        65        46        33       32
  one product           94        49        58       36
  XLA                  201        88        86       83

In float32 the result is off by 3e-6 (24 channels) to 1.3e-5 (512) of the
largest value, XLA's own by less than 1e-6. Transforms are float32 whatever the
type of the maps.
"""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

TILE = 4
_WINDOW = 3
_SIDE = TILE + _WINDOW - 1

# Of the points 0, ±1, ±2, ∞ (appendix of the paper).
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
# The transform of the kernel in both axes, numbered row by row.
_BOTH_KERNEL = np.kron(KERNEL, KERNEL)
# Of the tiles of a block. A forward pass holds one such array, the gradients
# three. At 64²×64 16e6 was faster forward than 4e6 and 40e6, and 4e6 than 12e6
# for the gradients in a training step.
_BLOCK_BYTES = 12e6
_GRADIENT_BLOCK_BYTES = 4e6


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def convolve(x, kernel, padding):
  """3×3 convolution of stride 1 by Winograd's transforms.

  Args:
    x: [B, H, W, C].
    kernel: [3, 3, C, K].
    padding: ((top, bottom), (left, right)), none negative.

  Returns:
    [B, H', W', K].
  """
  chex.assert_shape(kernel, (_WINDOW, _WINDOW, x.shape[-1], None))
  u, (height, width) = _transform_kernel(kernel), _output_size(x.shape, padding)

  def block(x):
    products = _products(transform(x, padding), u, (2, 1))
    return assemble(products, len(x), height, width)

  count = images_per_block(x, kernel.shape[-1], padding, _BLOCK_BYTES)
  y = lax.map(block, _blocks(x, count))
  return y.reshape(x.shape[0], height, width, kernel.shape[-1]).astype(x.dtype)


def _forward(x, kernel, padding):
  return convolve(x, kernel, padding), (x, kernel)


def _backward(padding, residuals, g):
  x, kernel = residuals
  u = _transform_kernel(kernel)

  def block(total, images):
    x, g = images
    z = take_apart(g)
    total += _products(transform(x, padding), z, (1, 1))
    tiles = _products(z, u, (2, 2))
    return total, add_up(tiles, x.shape, padding).astype(x.dtype)

  count = images_per_block(x, kernel.shape[-1], padding, _GRADIENT_BLOCK_BYTES)
  total, gradient = lax.scan(
    block, jnp.zeros_like(u), (_blocks(x, count), _blocks(g, count))
  )
  of_kernel = (_BOTH_KERNEL.T @ total.reshape(_SIDE**2, -1)).reshape(
    kernel.shape
  )
  return gradient.reshape(x.shape), of_kernel.astype(kernel.dtype)


convolve.defvjp(_forward, _backward)


def images_per_block(x, features, padding, block_bytes):
  """The most images, of which the batch is a multiple, whose tiles fit.

  A kernel of many channels is as large as the tiles of many images. It is read
  once a block, so the tiles of a block may be as large as it.
  """
  batch, channels = x.shape[0], x.shape[-1]
  rows, columns = _tiles(_output_size(x.shape, padding))
  size = x.dtype.itemsize * _SIDE**2
  tiles = size * rows * columns * max(channels, features)
  fitting = max(1, int(max(block_bytes, size * channels * features) // tiles))
  return next(
    count for count in range(min(batch, fitting), 0, -1) if batch % count == 0
  )


def transform(x, padding):
  """V, Bᵀ d B of every tile: [B, H, W, C] → [36, tiles, C].

  The tiles of 6×6 overlap by two. Tile (k, l) of an image reads from row
  4k − top and column 4l − left on, zeros where there is no map.
  """
  batch, height, width, channels = x.shape
  rows, columns = _tiles(_output_size(x.shape, padding))
  (top, _), (left, _) = padding
  bottom = TILE * (rows + 1) - height - top
  right = TILE * (columns + 1) - width - left
  x = _pad(x.astype(jnp.float32), {1: (top, bottom), 2: (left, right)})
  x = x.reshape(batch, rows + 1, TILE, -1, channels)
  u = jnp.stack(_sums(INPUT, _windows(x, 1)))
  u = u.reshape(_SIDE, batch, rows, columns + 1, TILE, channels)
  v = jnp.stack(_sums(INPUT, _windows(u, 3)), 1)
  return v.reshape(_SIDE**2, -1, channels)


def add_up(tiles, shape, padding):
  """The transpose of `transform`: [36, tiles, C] → [B, H, W, C], the shape."""
  batch, height, width, channels = shape
  rows, columns = _tiles(_output_size(shape, padding))
  (top, _), (left, _) = padding
  x = tiles.reshape(_SIDE, _SIDE, batch, rows, columns, channels)
  x = _overlap(_sums(INPUT.T, [x[:, j] for j in range(_SIDE)]), 3)
  x = x.reshape(_SIDE, batch, rows, -1, channels)
  x = _overlap(_sums(INPUT.T, list(x)), 1)
  x = x.reshape(batch, TILE * (rows + 1), -1, channels)
  return x[:, top : top + height, left : left + width]


def assemble(products, batch, height, width):
  """Aᵀ m A of every tile m, put together: [36, tiles, K] → [B, H', W', K]."""
  rows, columns = _tiles((height, width))
  y = products.reshape(_SIDE, _SIDE, batch, rows, columns, -1)
  y = jnp.stack(_sums(OUTPUT, list(y)))
  y = jnp.stack(_sums(OUTPUT, [y[:, j] for j in range(_SIDE)]), 4)
  y = jnp.moveaxis(y, 0, 2)  # [B, rows, 4, columns, 4, K]
  y = y.reshape(batch, TILE * rows, TILE * columns, -1)
  return y[:, :height, :width]


def take_apart(g):
  """Z, A g Aᵀ of every tile, the transpose of `assemble`."""
  batch, height, width, features = g.shape
  rows, columns = _tiles((height, width))
  borders = {1: (0, TILE * rows - height), 2: (0, TILE * columns - width)}
  g = _pad(g.astype(jnp.float32), borders)
  g = g.reshape(batch, rows, TILE, columns, TILE, features)
  z = jnp.stack(_sums(OUTPUT.T, [g[:, :, i] for i in range(TILE)]))
  z = jnp.stack(_sums(OUTPUT.T, [z[..., j, :] for j in range(TILE)]), 1)
  return z.reshape(_SIDE**2, -1, features)


def _transform_kernel(kernel):
  """U: [3, 3, C, K] → [36, C, K]."""
  u = _BOTH_KERNEL @ kernel.reshape(_WINDOW**2, -1).astype(jnp.float32)
  return u.reshape(_SIDE**2, *kernel.shape[2:])


def _products(a, b, axes):
  """36 matrix products, summed over an axis of each."""
  left, right = axes
  return lax.dot_general(a, b, (((left,), (right,)), ((0,), (0,))))


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


def _windows(cells, axis):
  """The six rows of each tile: four of a cell and two of the next.

  Args:
    cells: [..., n + 1, 4, ...], n + 1 at `axis`.

  Returns:
    Six arrays [..., n, ...].
  """
  count = cells.shape[axis] - 1
  return [
    lax.index_in_dim(
      lax.slice_in_dim(cells, i // TILE, i // TILE + count, axis=axis),
      i % TILE,
      axis + 1,
      keepdims=False,
    )
    for i in range(_SIDE)
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


def _output_size(shape, padding):
  return tuple(
    size + sum(border) - _WINDOW + 1
    for size, border in zip(shape[1:3], padding, strict=True)
  )


def _tiles(size):
  """Tiles along both axes that cover an output."""
  return tuple(-(-extent // TILE) for extent in size)


def _blocks(x, count):
  return x.reshape(x.shape[0] // count, count, *x.shape[1:])

"""3×3 convolution of stride 1 by Winograd's F(4×4, 3×3) (arXiv:1509.09308).

A tile of 4×4 outputs needs 6×6 inputs d and 36 products for each pair of
channels, where the sum over the window needs 144:

  y = Aᵀ [ (G g Gᵀ) ⊙ (Bᵀ d B) ] A

summed over input channels, which makes 36 matrix products of the ⊙. What is
gained there is easily lost on the way to the tiles and back. So each transform
is one matrix product, of the Kronecker product of both axes: B [36, 36],
G [36, 9], A [16, 36]. And a few images at a time are transformed, multiplied
and put together again, while their tiles are in the processor's cache: those of
a batch are 2.25 times as large as its maps. The gradients are made alike. With
V the transformed tiles, U the transformed kernel and Z = A (gradient in y) Aᵀ,

  gradient in d = B (Z Uᵀ) Bᵀ      gradient in g = Gᵀ (Σ Vᵀ Z) G

where the tiles overlap by two and are added up. V is made again rather than
kept.

What it takes, forward and both gradients: CPU milliseconds on 2 cores with
AVX-512, batch 32, jax 0.10.2, freed memory kept (`engine.allocator`). Other
programs ran beside it, which moves single numbers by a fifth. "Whole batch" is
the same in one block, with V kept for the gradients:

  map, channels     64²×64   64²×32   32²×128   16²×256   8²×512   4²×256
  whole batch          221      110       102        71       68        7
  in blocks            134       58        95        84       67        7
  XLA                  265       50       175       185      185       11

V of 64²×64 is 75 MB a layer.

In float32 the result is off by about 1e-5 of the largest value: Bᵀ and A add
and subtract numbers of up to 8 times the size.
"""

import functools
import math

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
# Of both axes together, numbered row by row.
_BOTH_INPUT, _BOTH_KERNEL, _BOTH_OUTPUT = (
  np.kron(matrix, matrix) for matrix in (INPUT, KERNEL, OUTPUT)
)
# Of the tiles of a block.
_BLOCK_BYTES = 4e6


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
  u, (height, width) = _transform_kernel(kernel), _output_size(x, padding)

  def block(x):
    products = _products(_transform(x, padding), u, (2, 1))
    return _assemble(_BOTH_OUTPUT @ _flat(products), len(x), height, width)

  count = images_per_block(x, kernel.shape[-1], padding)
  y = lax.map(block, _blocks(x, count))
  return y.reshape(x.shape[0], height, width, kernel.shape[-1]).astype(x.dtype)


def _forward(x, kernel, padding):
  return convolve(x, kernel, padding), (x, kernel)


def _backward(padding, residuals, g):
  x, kernel = residuals
  u = _transform_kernel(kernel)

  def block(total, images):
    x, g = images
    d, add_up = jax.vjp(lambda x: all_tiles(x, padding), x)
    v = (_BOTH_INPUT @ d).reshape(*u.shape[:1], -1, u.shape[1])
    z = (_BOTH_OUTPUT.T @ _cut(g)).reshape(*u.shape[:1], -1, u.shape[2])
    total += _products(v, z, (1, 1))
    tiles = _BOTH_INPUT.T @ _flat(_products(z, u, (2, 2)))
    return total, add_up(tiles.astype(d.dtype))[0]

  count = images_per_block(x, kernel.shape[-1], padding)
  total, gradient = lax.scan(
    block, jnp.zeros_like(u), (_blocks(x, count), _blocks(g, count))
  )
  of_kernel = (_BOTH_KERNEL.T @ _flat(total)).reshape(kernel.shape)
  return gradient.reshape(x.shape), of_kernel.astype(kernel.dtype)


convolve.defvjp(_forward, _backward)


def images_per_block(x, features, padding):
  """The most images, of which the batch is a multiple, whose tiles fit.

  Kernels of many channels are as large as the tiles of many images. They are
  read, and their gradient is written, once a block: then blocks are larger.
  """
  batch, channels = x.shape[0], x.shape[-1]
  rows, columns = _tiles(_output_size(x, padding))
  size = x.dtype.itemsize * _SIDE**2
  tiles = size * rows * columns * max(channels, features)
  fitting = max(
    1, int(max(_BLOCK_BYTES, size * channels * features / 4) // tiles)
  )
  return next(
    count for count in range(min(batch, fitting), 0, -1) if batch % count == 0
  )


def all_tiles(x, padding):
  """The tiles of 6×6, which overlap by two: [B, H, W, C] → [36, tiles·C].

  Tile (k, l) of an image reads from row 4k − top and column 4l − left on, zeros
  where there is no map.
  """
  batch, height, width, channels = x.shape
  rows, columns = _tiles(_output_size(x, padding))
  (top, _), (left, _) = padding
  bottom = TILE * (rows + 1) - height - top
  right = TILE * (columns + 1) - width - left
  borders = ((0, 0, 0), (top, bottom, 0), (left, right, 0), (0, 0, 0))
  cells = lax.pad(x, jnp.zeros((), x.dtype), borders).reshape(
    batch, rows + 1, TILE, columns + 1, TILE, channels
  )
  overlap = _SIDE - TILE
  cells = jnp.concatenate([cells[:, :-1], cells[:, 1:, :overlap]], 2)
  cells = jnp.concatenate(
    [cells[:, :, :, :-1], cells[:, :, :, 1:, :overlap]], 4
  )
  return _flat(jnp.transpose(cells, (2, 4, 0, 1, 3, 5)), 2)


def _transform(x, padding):
  """V: [B, H, W, C] → [36, tiles, C]."""
  tiles = _BOTH_INPUT @ all_tiles(x, padding)
  return tiles.reshape(_SIDE**2, -1, x.shape[-1])


def _transform_kernel(kernel):
  """U: [3, 3, C, K] → [36, C, K]."""
  u = _BOTH_KERNEL @ kernel.reshape(_WINDOW**2, -1)
  return u.reshape(_SIDE**2, *kernel.shape[2:])


def _products(a, b, axes):
  """36 matrix products, summed over an axis of each."""
  left, right = axes
  return lax.dot_general(a, b, (((left,), (right,)), ((0,), (0,))))


def _cut(y):
  """[B, H', W', K] → [16, tiles·K], the tiles of 4×4."""
  batch, height, width, features = y.shape
  rows, columns = _tiles((height, width))
  borders = (
    (0, 0, 0),
    (0, TILE * rows - height, 0),
    (0, TILE * columns - width, 0),
    (0, 0, 0),
  )
  cells = lax.pad(y, jnp.zeros((), y.dtype), borders).reshape(
    batch, rows, TILE, columns, TILE, features
  )
  return _flat(jnp.transpose(cells, (2, 4, 0, 1, 3, 5)), 2)


def _assemble(tiles, batch, height, width):
  """[16, tiles·K] → [B, H', W', K], the inverse of `_cut`."""
  rows, columns = _tiles((height, width))
  y = tiles.reshape(TILE, TILE, batch, rows, columns, -1)
  y = jnp.transpose(y, (2, 3, 0, 4, 1, 5))
  y = y.reshape(batch, TILE * rows, TILE * columns, -1)
  return y[:, :height, :width]


def _output_size(x, padding):
  return tuple(
    size + sum(border) - _WINDOW + 1
    for size, border in zip(x.shape[1:3], padding, strict=True)
  )


def _tiles(size):
  """Tiles along both axes that cover an output."""
  return tuple(-(-extent // TILE) for extent in size)


def _flat(x, axes=1):
  """The first axes as one, and the others as one."""
  return x.reshape(math.prod(x.shape[:axes]), -1)


def _blocks(x, count):
  return x.reshape(x.shape[0] // count, count, *x.shape[1:])

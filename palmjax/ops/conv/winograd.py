"""3×3 convolution of stride 1 by Winograd's F(4×4, 3×3) (arXiv:1509.09308).

A tile of 4×4 outputs needs 6×6 inputs d and 36 products for each pair of
channels, where the sum over the window needs 144:

  y = Aᵀ [ (G g Gᵀ) ⊙ (Bᵀ d B) ] A

summed over input channels, which makes 36 matrix products of the ⊙. What is
gained there is easily lost on the way to the tiles and back: as shifts and
sums of strided slices the transforms take longer than the products. Here each
is one matrix product as well. Along an axis, Bᵀ of all tiles together is a
matrix [6·tiles, size] that also holds the border, mostly zeros; G and A of both
axes together are their Kronecker products, [36, 9] and [16, 36]. Gradients of
all orders are products of the same kind.

What it gains in a whole training step (network, gradients, SGD; batch 32, jax
0.10.2, 2 cores; CPU seconds, each step taken in turn with the same step on
XLA's convolution): ResNet-18 with the small stem, of half width at 64 px, takes
2.8 s with it and 4.5 s without (1.6 ×); of a quarter width at 48 px, where few
layers have the 64 channels that it needs, 0.46 s and 0.50 s (1.05 ×).
MobileFaceNet has no convolution for it.

In float32 the result is off by about 1e-5 of the largest value: Bᵀ and A add
and subtract numbers of up to 8 times the size.
"""

import chex
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
  batch, height, width, channels = x.shape
  features = kernel.shape[-1]
  out = [
    size + sum(border) - _WINDOW + 1
    for size, border in zip((height, width), padding, strict=True)
  ]
  rows, columns = (-(-size // TILE) for size in out)
  along_y = all_tiles(height, rows, padding[0][0])
  along_x = all_tiles(width, columns, padding[1][0])

  # The axis that is transformed first, so that each product is one.
  v = along_y @ jnp.moveaxis(x, 1, 0).reshape(height, -1)
  v = jnp.swapaxes(v.reshape(-1, width, channels), 0, 1)
  v = along_x @ v.reshape(width, -1)
  v = v.reshape(_SIDE, columns, _SIDE, rows * batch, channels)
  v = jnp.transpose(v, (2, 0, 1, 3, 4))
  v = v.reshape(_SIDE**2, columns * rows * batch, channels)

  u = np.kron(KERNEL, KERNEL) @ kernel.reshape(_WINDOW**2, -1)
  u = u.reshape(_SIDE**2, channels, features)
  products = lax.dot_general(v, u, (((2,), (1,)), ((0,), (0,))))

  y = np.kron(OUTPUT, OUTPUT) @ products.reshape(_SIDE**2, -1)
  y = y.reshape(TILE, TILE, columns, rows, batch, features)
  y = jnp.transpose(y, (4, 3, 0, 2, 1, 5))
  y = y.reshape(batch, TILE * rows, TILE * columns, features)
  return y[:, : out[0], : out[1]]


def all_tiles(size, tiles, border):
  """Matrix Bᵀ for all tiles along an axis: [6·tiles, size].

  Args:
    size: of the axis.
    tiles: their number; the k-th reads from 4k − border on.
    border: zeros before the axis; those after it follow.
  """
  matrix = np.zeros((_SIDE, tiles, _SIDE + TILE * tiles + size), np.float32)
  for k in range(tiles):
    matrix[:, k, TILE * k : TILE * k + _SIDE] = INPUT
  return matrix[:, :, border : border + size].reshape(-1, size)

"""3×3 convolution of stride 1 by Winograd's F(4×4, 3×3) (arXiv:1509.09308).

A tile of 4×4 outputs needs 6×6 inputs d and 36 products for each pair of
channels, where the sum over the window needs 144:

  y = Aᵀ [ (G g Gᵀ) ⊙ (Bᵀ d B) ] A

summed over input channels, which makes 36 matrix products of the ⊙. What is
gained there is easily lost on the way to the tiles and back. So a few images at
a time are transformed, multiplied and put together again, while their tiles are
in the processor's cache: those of a batch are 2.25 times as large as its maps.
The transforms are in `tiles`. The gradients are made alike. With V the
transformed tiles, U the transformed kernel and Z = A (gradient in y) Aᵀ,

  gradient in d = B (Z Uᵀ) Bᵀ      gradient in g = Gᵀ (Σ Vᵀ Z) G

where the tiles overlap by two and are added up. V is made again rather than
kept: V of 64²×64 is 75 MB a layer.

What it takes, forward and both gradients: milliseconds on 2 cores with AVX-512,
batch 32, jax 0.10.2, freed memory kept (`engine.allocator`):

  map, channels     64²×64   32²×128   16²×256   8²×512
  this                  64        47        33       30
  XLA's own            212        93        88       82

Transforms that are one matrix product of both axes, [36, 36] with all tiles,
are slower than sums of slices: by a fifth for 8²×512, by half for 64²×64.

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

from palmjax.ops import memory
from palmjax.ops.conv import tiles

# The transform of the kernel in both axes, numbered row by row.
_BOTH_KERNEL = np.kron(tiles.KERNEL, tiles.KERNEL)
# Of the tiles of a block. A forward pass holds one such array, the gradients up
# to four. A step of a ResNet-18 took 0.92 s so, and 0.95 with 12e6 and 4e6.
_BLOCK_BYTES = 4e6
_GRADIENT_BLOCK_BYTES = 2e6
# Up to so many channels Vᵀ Z is faster from a transposed V.
_TRANSPOSED = 128


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
  chex.assert_shape(kernel, (tiles.WINDOW, tiles.WINDOW, x.shape[-1], None))
  u = _transform_kernel(kernel)
  height, width = tiles.output_size(x.shape, padding)
  count = images_per_block(x, kernel.shape[-1], padding, _BLOCK_BYTES)

  def block(x):
    products = _products(tiles.transform(_maps(x), padding), u, (2, 1))
    y = tiles.assemble(products, count, height, width)
    return y.reshape(*x.shape[:-3], *y.shape[1:])

  y = lax.map(block, _blocks(x, count))
  return y.reshape(x.shape[0], height, width, kernel.shape[-1]).astype(x.dtype)


def _forward(x, kernel, padding):
  return convolve(x, kernel, padding), (x, kernel)


def _backward(padding, residuals, g):
  x, kernel = residuals
  u = _transform_kernel(kernel)

  def block(total, images):
    x, g = map(_maps, images)
    z = tiles.take_apart(g)
    total += _of_tiles(x, z, padding)
    of_x = tiles.add_up(_products(z, u, (2, 2)), x.shape, padding)
    return total, of_x.astype(x.dtype).reshape(images[0].shape)

  count = images_per_block(x, kernel.shape[-1], padding, _GRADIENT_BLOCK_BYTES)
  total, gradient = lax.scan(
    block, jnp.zeros_like(u), (_blocks(x, count), _blocks(g, count))
  )
  of_kernel = (_BOTH_KERNEL.T @ total.reshape(tiles.SIDE**2, -1)).reshape(
    kernel.shape
  )
  return gradient.reshape(x.shape), of_kernel.astype(kernel.dtype)


convolve.defvjp(_forward, _backward)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _of_tiles(x, z, padding):
  """Σ Vᵀ Z over the tiles of x: [B, H, W, C], [36, tiles, K] → [36, C, K].

  Up to `_TRANSPOSED` channels V is written, then transposed, then multiplied.
  Fused, the first two take five times as long. Without the transposition XLA
  takes another program, which sums over rows. At 64²×64 that made a convolution
  slower, 73 ms in place of 66; at 16²×256 it made it faster, 34 in place of 37.
  """
  if x.shape[-1] > _TRANSPOSED:
    return _sum_over_rows(x, z, padding)
  v = memory.apart(lambda x: tiles.transform(x, padding), x)
  v = lax.optimization_barrier(jnp.swapaxes(v, 1, 2))
  return _products(v, z, (2, 1))


def _of_tiles_forward(x, z, padding):
  return _of_tiles(x, z, padding), (x, z)


def _of_tiles_backward(padding, residuals, g):
  # Of the transposed product XLA cannot compile the second derivative of small
  # maps: "Check failed: LayoutUtil::IsMonotonicWithDim0Major".
  return jax.vjp(lambda *xz: _sum_over_rows(*xz, padding), *residuals)[1](g)


def _sum_over_rows(x, z, padding):
  return _products(tiles.transform(x, padding), z, (1, 1))


_of_tiles.defvjp(_of_tiles_forward, _of_tiles_backward)


def images_per_block(x, features, padding, block_bytes):
  """The most images, of which the batch is a multiple, whose tiles fit.

  A kernel of many channels is as large as the tiles of many images. It is read
  once a block, so the tiles of a block may be as large as it.
  """
  batch, channels = x.shape[0], x.shape[-1]
  rows, columns = tiles.count(tiles.output_size(x.shape, padding))
  size = x.dtype.itemsize * tiles.SIDE**2
  image = size * rows * columns * max(channels, features)
  fitting = max(1, int(max(block_bytes, size * channels * features) // image))
  return next(
    count for count in range(min(batch, fitting), 0, -1) if batch % count == 0
  )


def _transform_kernel(kernel):
  """U: [3, 3, C, K] → [36, C, K]."""
  u = _BOTH_KERNEL @ kernel.reshape(tiles.WINDOW**2, -1).astype(jnp.float32)
  return u.reshape(tiles.SIDE**2, *kernel.shape[2:])


def _products(a, b, axes):
  """36 matrix products, summed over an axis of each."""
  left, right = axes
  return lax.dot_general(a, b, (((left,), (right,)), ((0,), (0,))))


def _blocks(x, count):
  """[B, H, W, C] → [blocks, count, H, W, C]; unchanged if count is one.

  XLA copies an array with an axis of one image to another layout.
  """
  return x if count == 1 else x.reshape(len(x) // count, count, *x.shape[1:])


def _maps(block):
  """One of `_blocks` → [count, H, W, C]."""
  return block.reshape(-1, *block.shape[-3:])

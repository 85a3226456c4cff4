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

where the tiles overlap by two and are added up. A gradient makes V again
and does not keep it: V of 64²×64 is 75 MB a layer. A second derivative keeps V.

What it takes, forward and both gradients: milliseconds on 2 cores with AVX-512,
batch 32, jax 0.10.2, freed memory kept (`engine.allocator`):

  map, channels     64²×64   32²×128   16²×256   8²×512
  this                  46        33        32       30
  XLA's own            211        87        90       80

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
from palmjax.ops.conv import products, tiles

# Of the tiles of a block. A forward pass holds V and V U, a gradient up to five
# such arrays. 32²×128, both passes: 31 ms so, 32 to 34 with 2e6, 4e6 and 8e6.
_BLOCK_BYTES = 5e6


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
  u = tiles.transform_kernel(kernel)
  height, width = tiles.output_size(x.shape, padding)
  count = images_per_block(x, kernel.shape[-1], padding)

  def block(predicate, x):
    v = memory.apart(lambda x: tiles.transform(_maps(x), padding), x, predicate)
    m = products.multiply(v, u, (2, 1))
    y = tiles.assemble(m, count, height, width)
    return products.keep_until_here(predicate, v, m), y.reshape(
      *x.shape[:-3], *y.shape[1:]
    )

  _, y = lax.scan(block, memory.always_true(), _blocks(x, count))
  y = y.reshape(x.shape[0], height, width, kernel.shape[-1])
  return y.astype(x.dtype)


def _forward(x, kernel, padding):
  return convolve(x, kernel, padding), (x, kernel)


def _backward(padding, residuals, g):
  x, kernel = residuals
  u = tiles.transform_kernel(kernel)

  def block(carry, images):
    total, predicate = carry
    x, g = map(_maps, images)
    z = memory.apart(tiles.take_apart, g, predicate)
    of_v = products.multiply(z, u, (2, 2))
    of_x = tiles.add_up(of_v, x.shape, padding)
    # The next twelve products wait for these: XLA does not divide 24 evenly.
    predicate = products.keep_until_here(predicate, z, of_v)
    v = memory.apart(lambda x: tiles.transform(x, padding), x, predicate)
    v = products.transpose(v, predicate)
    of_u = products.multiply(v, z, (2, 1))
    carry = (
      jax.tree.map(jnp.add, total, of_u),
      products.keep_until_here(predicate, v, z, of_u),
    )
    return carry, of_x.astype(x.dtype).reshape(images[0].shape)

  count = images_per_block(x, kernel.shape[-1], padding)
  (total, _), of_x = lax.scan(
    block,
    (jax.tree.map(jnp.zeros_like, u), memory.always_true()),
    (_blocks(x, count), _blocks(g, count)),
  )
  of_kernel = tiles.add_up_kernel(total)
  return of_x.reshape(x.shape), of_kernel.astype(kernel.dtype)


convolve.defvjp(_forward, _backward)


def images_per_block(x, features, padding):
  """The most images, of which the batch is a multiple, whose tiles fit.

  A kernel of many channels is as large as the tiles of many images. It is read
  once a block, so the tiles of a block may be as large as it.
  """
  batch, channels = x.shape[0], x.shape[-1]
  rows, columns = tiles.count(tiles.output_size(x.shape, padding))
  size = np.dtype(np.float32).itemsize * tiles.SIDE**2
  image = size * rows * columns * max(channels, features)
  fitting = max(1, int(max(_BLOCK_BYTES, size * channels * features) // image))
  return next(
    count
    for count in range(max(1, min(batch, fitting)), 0, -1)
    if batch % count == 0
  )


def _blocks(x, count):
  """[B, H, W, C] → [blocks, count, H, W, C]; unchanged if count is one.

  XLA copies an array with an axis of one image to another layout.
  """
  return x if count == 1 else x.reshape(len(x) // count, count, *x.shape[1:])


def _maps(block):
  """One of `_blocks` → [count, H, W, C]."""
  return block.reshape(-1, *block.shape[-3:])

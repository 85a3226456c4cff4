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
from jax.custom_derivatives import SymbolicZero

from palmjax.ops import memory
from palmjax.ops.conv import products, tiles

# Of the tiles of a block. A forward pass holds V and V U, a gradient up to four
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
    predicate = products.keep_until_here(predicate, v, m)
    return predicate, y.reshape(*x.shape[:-3], *y.shape[1:])

  _, y = lax.scan(block, memory.always_true(), _blocks(x, count))
  y = y.reshape(x.shape[0], height, width, kernel.shape[-1])
  return y.astype(x.dtype)


def _forward(x, kernel, padding):
  return convolve(x, kernel, padding), (x, kernel)


def _backward(padding, residuals, g):
  return _gradients(*residuals, g, padding, True, True)


convolve.defvjp(_forward, _backward)


@functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4, 5))
def _gradients(x, kernel, g, padding, of_x, of_kernel):
  """Gradients of Σ g · convolve(x, kernel) in x and in the kernel.

  Args:
    x: [B, H, W, C].
    kernel: [3, 3, C, K].
    g: [B, H', W', K].
    padding: as in `convolve`.
    of_x, of_kernel: which gradients are wanted; the other one is zero.

  Returns:
    [B, H, W, C], [3, 3, C, K].
  """
  u = tiles.transform_kernel(kernel)

  def block(carry, images):
    # Who reads only the gradient in x does not need `total` and `for_kernel`.
    total, for_x, for_kernel = carry
    x, g = map(_maps, images)
    z = memory.apart(tiles.take_apart, g, for_x)
    to_x = jnp.zeros_like(x)
    if of_x:
      zu = products.multiply(z, u, (2, 2))
      to_x = tiles.add_up(zu, x.shape, padding).astype(x.dtype)
      for_x = products.keep_until_here(for_x, z, zu)
    if of_kernel:
      # The next twelve products wait for these: XLA does not divide 24 evenly.
      for_kernel |= for_x
      v = memory.apart(lambda x: tiles.transform(x, padding), x, for_kernel)
      v = products.transpose(v, for_kernel)
      vz = products.multiply(v, z, (2, 1))
      total = jax.tree.map(jnp.add, total, vz)
      for_kernel = products.keep_until_here(for_kernel, v, z, vz)
    return (total, for_x, for_kernel), to_x.reshape(images[0].shape)

  count = images_per_block(x, kernel.shape[-1], padding)
  zeros = jax.tree.map(jnp.zeros_like, u)
  (total, _, _), to_x = lax.scan(
    block,
    (zeros, memory.always_true(), memory.always_true()),
    (_blocks(x, count), _blocks(g, count)),
  )
  to_kernel = tiles.add_up_kernel(total).astype(kernel.dtype)
  return to_x.reshape(x.shape), to_kernel


def _gradients_forward(x, kernel, g, padding, of_x, of_kernel):
  arrays = tuple(primal.value for primal in (x, kernel, g))
  return _gradients(*arrays, padding, of_x, of_kernel), arrays


def _gradients_backward(padding, of_x, of_kernel, residuals, cotangents):
  """Both gradients are linear in g and in one of x and kernel.

  With a and b in their places, a · (gradient in x) = g · convolve(a, kernel)
  and b · (gradient in kernel) = g · convolve(x, b).
  """
  x, kernel, g = residuals
  a, b = cotangents
  to_x, to_kernel = jnp.zeros_like(x), jnp.zeros_like(kernel)
  to_g = jnp.zeros_like(g)
  if of_x and not isinstance(a, SymbolicZero):
    to_g += convolve(a, kernel, padding)
    to_kernel = _gradients(a, kernel, g, padding, False, True)[1]
  if of_kernel and not isinstance(b, SymbolicZero):
    to_g += convolve(x, b, padding)
    to_x = _gradients(x, b, g, padding, True, False)[0]
  return to_x, to_kernel, to_g


_gradients.defvjp(_gradients_forward, _gradients_backward, symbolic_zeros=True)


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

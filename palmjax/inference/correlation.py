"""Normalised cross-correlation of palms: recognition without learning.

The control beside a network. Images of 48 × 48, local contrast normalised, are
compared over all shifts of up to 5 pixels. With a₀ the central 38 × 38 of a,
b_d that of b moved by d, and u(x) = (x − mean x) / |x − mean x|,

  c(a, b) = max_d u(a₀)·u(b_d),    s(a, b) = max(c(a, b), c(b, a))

over the 121 shifts d. In c, a keeps its centre and b shows its border; s is
symmetric. Each shift is one matrix product of all crops with all crops.
"""

import chex
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from palmjax.ops import chunks, contrast, pixels

SIZE = 48  # Side of a template in pixels.
SHIFT = 5  # Largest shift along each side, in pixels.

# Crops with a standard deviation below this hold rounding errors: a flat image
# is like none, not even like itself.
_LEAST_DEVIATION = 0.01
BLOCK = 256  # Templates whose crops are in memory at a time.


def templates_of(images):
  """`templates` of stored images, in bounded memory.

  Args:
    images: uint8 [N, S, S, 3], RGB, of any size.

  Returns:
    float32 [N, 48, 48], a NumPy array; that of an image is the same but for
    rounding, whatever stands beside it.
  """
  chex.assert_shape(images, (None, None, None, 3))
  if not len(images):
    return np.empty((0, SIZE, SIZE), np.float32)
  return chunks.apply(_templates_of_chunk, images)


@jax.jit
def _templates_of_chunk(images):
  return templates(contrast.grey(pixels.to_float(images)))


def templates(images):
  """Contrast-normalised 48 × 48 templates of grey images.

  Args:
    images: float [B, S, S, 1], grey in [-1, 1], of any size.

  Returns:
    float32 [B, 48, 48].
  """
  chex.assert_shape(images, (None, None, None, 1))
  images = images.astype(jnp.float32)
  if images.shape[1:3] != (SIZE, SIZE):
    images = jax.image.resize(
      images, (len(images), SIZE, SIZE, 1), 'linear', antialias=True
    )
  return contrast.normalise(images)[..., 0]


def similarities(a, b):
  """The largest correlation of each pair, whichever side is shifted.

  Args:
    a: float32 [N, 48, 48], from `templates`.
    b: float32 [M, 48, 48].

  Returns:
    float32 [N, M] in [-1, 1]: s of the module docstring.
  """
  return jnp.maximum(_one_way(a, b), _one_way(b, a).T)


# `similarities` for those who do not compile it themselves.
compare = jax.jit(similarities)


def all_similarities(a):
  """`similarities(a, a)` in half the time; [N, 48, 48] → [N, N]."""
  one_way = _one_way(a, a)
  return jnp.maximum(one_way, one_way.T)


def _one_way(a, b):
  """c(a, b) of the module docstring, [N, M]."""
  chex.assert_shape([a, b], (None, SIZE, SIZE))
  centres = _crops(a, SHIFT, SHIFT)
  shifts = 2 * SHIFT + 1

  def compare(block):
    def best(shift, scores):
      shifted = _crops(block, shift // shifts, shift % shifts)
      # 'highest': bfloat16 products would cost 2 digits of 7.
      products = jnp.matmul(centres, shifted.T, precision='highest')
      return jnp.maximum(scores, products)

    return lax.fori_loop(
      0, shifts**2, best, jnp.full((len(a), len(block)), -1.0, jnp.float32)
    )

  size = min(BLOCK, len(b))
  padded = jnp.pad(b, ((0, -len(b) % size), (0, 0), (0, 0)))
  blocks = lax.map(compare, padded.reshape(-1, size, SIZE, SIZE))
  return jnp.moveaxis(blocks, 0, 1).reshape(len(a), -1)[:, : len(b)]


def _crops(images, top, left):
  """Crops of all images at one place: unit vectors of zero mean, [N, 38²]."""
  side = SIZE - 2 * SHIFT
  crops = lax.dynamic_slice(
    images, (0, top, left), (len(images), side, side)
  ).reshape(len(images), side**2)
  crops -= jnp.mean(crops, axis=1, keepdims=True)
  norms = jnp.linalg.norm(crops, axis=1, keepdims=True)
  return crops / jnp.maximum(norms, _LEAST_DEVIATION * side)

"""Inner products of a crop with crops at many shifts: rows are transformed.

The products are those of `ops.shifted_products`, which transforms both axes.
For n shifts along an axis, S = 32 and C = 2, numbers are of a pair, and times
are as shares of the time of both axes, on a busy core:

  n                                      7       9      13
  multiplications, both axes         9,500  15,000  22,000
  multiplications, rows alone       22,000  30,000  34,000
  time, rows alone                     1.4     0.9     0.8

With rows alone the matrix products are longer, and what is made of a column of
shifts stays in the cache. Tiles of 20 rows were as fast as tiles of 10, and
tiles of 7 were slower.
"""

import functools

import chex
import jax.numpy as jnp
from jax import lax

from palmjax.ops import shifted_products

_TILE = 10
# The points take digits away already.
_product = functools.partial(jnp.matmul, precision='highest')


def transform_signals(signals, shift):
  """Transforms the rows of signals for `column`.

  Args:
    signals: float32 [P, S, S, C].
    shift: m, at least 2.

  Returns:
    float32 [k, S, K, P].
  """
  along, _ = shifted_products.along(signals.shape[1], shift, _TILE)
  return _transform(signals, along)


def transform_kernels(kernels, shift):
  """Transforms the rows of kernels for `column`.

  Args:
    kernels: float32 [Q, S, S, C]; their central crops count.
    shift: m, at least 2.

  Returns:
    float32 [k, S − 2m, K, Q].
  """
  size = kernels.shape[1]
  _, along = shifted_products.along(size, shift, _TILE)
  return _transform(kernels, along)[:, shift : size - shift]


def column(signals, kernels, shift, j):
  """Inner products at all shifts i along rows and one, j, along columns.

  Args:
    signals: float32 [k, S, K, P], from `transform_signals`.
    kernels: float32 [k, S − 2m, K, Q], from `transform_kernels`.
    shift: m of both.
    j: integer in 0 … 2m.

  Returns:
    float32 [n, P, Q]; index i.
  """
  chex.assert_rank([signals, kernels], 4)
  output, _, _ = shifted_products.matrices(shift, _TILE)
  n, k = output.shape
  crops = lax.dynamic_slice_in_dim(signals, j, kernels.shape[1], axis=1)
  crops, kernels = (x.reshape(k, -1, x.shape[3]) for x in (crops, kernels))
  y = jnp.einsum('stp,stq->spq', crops, kernels, precision='highest')
  return _product(output, y.reshape(k, -1)).reshape(n, *y.shape[1:])


def _transform(images, along):
  """[B, S, S, C] → [k, S, K, B] by `along` [k, tiles, S] on rows."""
  count, size, _, channels = images.shape
  chex.assert_shape(images, (count, size, size, channels))
  k, tiles, _ = along.shape
  x = jnp.transpose(images, (1, 2, 3, 0)).reshape(size, -1)
  x = _product(along.reshape(-1, size), x)
  x = jnp.swapaxes(x.reshape(k, tiles, size, channels, count), 1, 2)
  return x.reshape(k, size, tiles * channels, count)

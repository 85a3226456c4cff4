"""Inner products of a central crop with crops at all shifts, of many pairs.

For signals p and kernels g of S × S × C and a largest shift m, with n = 2m + 1
and c = S − 2m,

  y(i, j) = Σ_{u,v,e} g(m + u, m + v, e) p(i + u, j + v, e)

over u, v < c and the channels e, for all i, j < n.

A tile of g is 7 long on each side. Along an axis its n products with p need
N = n + 6 values of p. Toom and Cook compute them by N products of sums, where
the definition has 7n:

  y = A [ (B p) ⊙ (G g) ]

A, B and G come from N points. A product of polynomials of degrees n − 1 and 6
is fixed by its values there, and correlation is its transpose (Winograd,
Arithmetic Complexity of Computations, 1980). Points are ∞, 0, ±1, ±2, ±½, 5/4
and pairs on the unit circle. A pair is two points and three products. Large
real points would cost digits: of random signals the largest error is 1e-6 of
|g| |p| in float32 for n up to 13.

Both axes are transformed, the tiles and channels are summed over by matrix
products of all signals with all kernels, and A comes last. A pair with S = 32,
C = 2, n = 7 then needs 9,500 multiplications in place of 66,000; with n = 13
it needs 22,000 in place of 135,000. Tiles of 4 took 10 % longer, with smaller
errors; tiles of 5 took as long as tiles of 7, with larger errors.
"""

import functools

import chex
import jax.numpy as jnp
import numpy as np
from jax import lax

_TILE = 7
# As many as leave pairs for the rest: the last one only if N is even.
_REAL = (0.0, 1.0, -1.0, 2.0, -2.0, 0.5, -0.5, 1.25, -1.25)


def transform_signals(signals, shift):
  """Transforms signals for `products`: matrix B on both axes.

  Args:
    signals: float32 [P, S, S, C].
    shift: m, at least 2.

  Returns:
    float32 [k², K, P], for `products`.
  """
  return _transform(signals, along(signals.shape[1], shift)[0])


def transform_kernels(kernels, shift):
  """Transforms kernels for `products`: matrix G on both axes.

  Args:
    kernels: float32 [Q, S, S, C]; their central crops count.
    shift: m, at least 2.

  Returns:
    float32 [k², K, Q], for `products`.
  """
  return _transform(kernels, along(kernels.shape[1], shift)[1])


def products(signals, kernels, shift):
  """Inner products at all shifts, of all pairs of signal and kernel.

  Args:
    signals: float32 [k², K, P], from `transform_signals`.
    kernels: float32 [k², K, Q], from `transform_kernels`.
    shift: m of both.

  Returns:
    float32 [n², P, Q]; index i n + j.
  """
  chex.assert_rank([signals, kernels], 3)
  output, _, _ = matrices(shift)
  n, k = output.shape
  pairs = signals.shape[2], kernels.shape[2]
  # 'highest': the points take digits away already.
  product = functools.partial(jnp.matmul, precision='highest')
  y = jnp.einsum('stp,stq->spq', signals, kernels, precision='highest')
  y = product(output, y.reshape(k, -1))
  # One large product is faster than n small ones, the copy included.
  y = jnp.swapaxes(y.reshape(n, k, -1), 0, 1).reshape(k, -1)
  y = product(output, lax.optimization_barrier(y))
  return y.reshape(n * n, *pairs)


@functools.cache
def matrices(shift, tile=_TILE):
  """Transform matrices A, B and G, float32.

  Args:
    shift: m, at least 2.
    tile: T, length of a tile; the text above has 7.

  Returns:
    A [n, k], B [k, n + T − 1] and G [k, T].

  Raises:
    ValueError: `shift` is below 2.
  """
  if shift < 2:
    raise ValueError(f'shifts of up to {shift} need no transform: 2 or more do')
  n = 2 * shift + 1
  size = n + tile - 1
  reals = _REAL[: len(_REAL) - size % 2]
  pairs = (size - 1 - len(reals)) // 2
  angles = np.pi * np.arange(1, pairs + 1) / (pairs + 1)

  def powers(points, count):
    """[points, count] of real polynomials: three rows for a pair."""
    of_pairs = np.exp(1j * angles)[:, None] ** np.arange(count)
    real, imaginary = of_pairs.real, of_pairs.imag
    of_pairs = np.stack([real, imaginary, real + imaginary], 1)
    return np.concatenate(
      [
        np.eye(count)[-1:],  # ∞: the highest coefficient.
        np.array(points)[:, None] ** np.arange(count),
        of_pairs.reshape(-1, count),
      ]
    )

  # What a product of polynomials is at the points, by its coefficients …
  single = 1 + len(reals)
  values = powers(reals, size)
  values = np.delete(values, range(single + 2, len(values), 3), axis=0)
  # … and by products there: (a + ib)(c + id) by ac, bd and (a + b)(c + d).
  of_products = np.zeros((size, single + 3 * pairs))
  of_products[:single, :single] = np.eye(single)
  of_products[single:, single:] = np.kron(
    np.eye(pairs), [[1, -1, 0], [-1, -1, 1]]
  )
  to_points = np.linalg.solve(values, of_products).T
  a, g = powers(reals, n).T, powers(reals, tile)
  # Rows of unit norm: the products at all points are of one size.
  norms = [np.linalg.norm(x, axis=1, keepdims=True) for x in (to_points, g)]
  a = a * (norms[0] * norms[1])[:, 0]
  return tuple(
    x.astype(np.float32) for x in (a, to_points / norms[0], g / norms[1])
  )


@functools.cache
def along(size, shift, tile=_TILE):
  """B and G of every tile along an axis of `size`: [k, tiles, size] each."""
  _, signal, kernel = matrices(shift, tile)
  crop = size - 2 * shift
  tiles = -(-crop // tile)
  # Beyond the signal and beyond the crop there are zeros.
  room = size + tile
  of_signals = np.zeros((len(signal), tiles, room), np.float32)
  of_kernels = np.zeros((len(signal), tiles, room), np.float32)
  for i in range(tiles):
    start = tile * i
    of_signals[:, i, start : start + signal.shape[1]] = signal
    start += shift
    of_kernels[:, i, start : start + tile] = kernel
  of_kernels[:, :, shift + crop :] = 0.0
  return of_signals[:, :, :size], of_kernels[:, :, :size]


def _transform(images, along):
  """[B, S, S, C] → [k², K, B] by `along` [k, tiles, S] on both axes."""
  count, size, _, channels = images.shape
  chex.assert_shape(images, (count, size, size, channels))
  k, tiles, _ = along.shape
  along = along.reshape(-1, size)
  product = functools.partial(jnp.matmul, precision='highest')
  x = product(along, jnp.transpose(images, (1, 2, 3, 0)).reshape(size, -1))
  x = jnp.swapaxes(x.reshape(k * tiles, size, -1), 0, 1)
  x = product(along, x.reshape(size, -1))
  x = x.reshape(k, tiles, k, tiles, channels, count)
  # Points of columns stand in front: `products` takes them first.
  x = jnp.transpose(x, (0, 2, 1, 3, 4, 5))
  return x.reshape(k * k, -1, count)

"""Gaussian blur of images: one matrix product along each side.

A separable filter with its border rule is linear along each side, hence one
[S, S] matrix: both passes are matrix products, exact up to rounding and fast on
every backend. Shifted multiply-adds behind a warp took twice as long: XLA on
CPU fuses them with the warp and computes it again for every tap.

Row i of the matrix is Σ_m exp(-(i - m)² / 2σ²) over the places m of pixel j
and of its mirror images, divided by the sum of the row. There are three border
rules because stored bits rest on each of them: 'reflect' on the preprocessing
of the shipped networks, 'symmetric' on the augmentation of palms, 'inside' on
the drawn hands.
"""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np

# 'reflect' cuts the Gaussian off here, in standard deviations.
_TRUNCATE = 4.0
# Below a twentieth of a pixel the Gaussian is one tap: no division by zero.
_NARROWEST = 0.05
# 'inside' adds it to every weight: a row read far outside is not 0 / 0.
_FLOOR = 1e-9


def gaussian(images, sigma, *, border, shift=(0.0, 0.0)):
  """Gaussian blur of images along height and width.

  Args:
    images: [B, H, W, C].
    sigma: standard deviation in pixels: a number > 0 for 'reflect', else an
      array, scalar or [B].
    border: 'reflect' continues the image mirrored about the outermost pixels,
      'symmetric' mirrored about the border, 'inside' takes pixels of the image
      only.
    shift: x and y in pixels, how far away each output pixel reads; 'inside'
      only.

  Returns:
    [B, H, W, C].

  Raises:
    ValueError: sigma is a number, and not above 0.
  """
  chex.assert_rank(images, 4)
  rows, columns = (
    _weights(size, sigma, border, move)
    for size, move in zip(images.shape[1:3], (shift[1], shift[0]), strict=True)
  )
  each = 'b' if rows.ndim == 3 else ''
  # The pictures' own precision: bfloat16 products would posterise them, and
  # cost local contrast 3 digits.
  product = functools.partial(jnp.einsum, precision=jax.lax.Precision.HIGHEST)
  images = product(f'{each}ij,bjwc->biwc', rows, images)
  return product(f'{each}ij,bhjc->bhic', columns, images)


def _weights(size, sigma, border, shift):
  """[size, size] or [B, size, size]: row i is of output pixel i."""
  if border == 'reflect':
    return _reflect(size, float(sigma))
  sigma = jnp.maximum(sigma, _NARROWEST)[..., None, None]
  to, of = jnp.mgrid[:size, :size]
  if border == 'symmetric':
    places = of, -1 - of, 2 * size - 1 - of
    weights = sum(_bell(to - place, sigma) for place in places)
  else:
    weights = _bell(to - of + shift, sigma) + _FLOOR
  return weights / jnp.sum(weights, axis=-1, keepdims=True)


def _bell(distance, sigma):
  return jnp.exp(-0.5 * jnp.square(distance / sigma))


def _reflect(size, sigma):
  """A constant of the program, made in float64 while it is traced."""
  if sigma <= 0.0:
    raise ValueError(f'blur needs sigma > 0, got {sigma}')
  radius, period = int(_TRUNCATE * sigma + 0.5), 2 * (size - 1)
  to, of = np.mgrid[:size, :size]
  weights = np.zeros((size, size))
  for turn in range(-(radius // period) - 1, radius // period + 2):
    # The outermost pixels are their own mirror images.
    for place, counts in ((of, True), (-of, of % (size - 1) > 0)):
      distance = to - place - turn * period
      near = counts & (abs(distance) <= radius)
      weights += near * np.exp(-0.5 * (distance / sigma) ** 2)
  return np.asarray(weights / weights.sum(1, keepdims=True), np.float32)

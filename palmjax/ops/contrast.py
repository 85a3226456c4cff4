"""Grey conversion, Gaussian blur and local contrast normalisation.

Local contrast normalisation takes out light and skin tone and leaves the lines:

  d = x - G_σ x,    y = clip( d / (sqrt(G_2σ d²) + c), ±clip )

with G_σ a Gaussian of σ pixels and the border reflected.

A separable filter with its border rule is linear along each side, hence one
[S, S] matrix: both passes are matrix products, exact up to rounding and fast on
every backend. The matrices are made by NumPy while tracing.
"""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np

# Rec. ITU-R BT.601 luma.
_LUMA = (0.299, 0.587, 0.114)
# The Gaussian is cut off here, in standard deviations.
_TRUNCATE = 4.0
# Under the root: a constant image has variance 0, and sqrt no derivative there.
_TINY = 1e-12


def grey(images):
  """RGB [B, H, W, 3] → luma [B, H, W, 1] in the same range."""
  chex.assert_shape(images, (None, None, None, 3))
  return jnp.sum(images * jnp.asarray(_LUMA), axis=-1, keepdims=True)


def gaussian_blur(images, sigma):
  """Blurs along both sides, border reflected about the outermost pixels.

  Args:
    images: [B, H, W, C].
    sigma: standard deviation in pixels; a Python number > 0.

  Returns:
    [B, H, W, C].
  """
  chex.assert_rank(images, 4)
  sigma = float(sigma)
  if sigma <= 0.0:
    raise ValueError(f'blur needs sigma > 0, got {sigma}')
  _, height, width, _ = images.shape
  # The pictures' own precision: bfloat16 products would cost 3 digits of d.
  product = functools.partial(jnp.einsum, precision=jax.lax.Precision.HIGHEST)
  images = product('ih,bhwc->biwc', _blur_matrix(height, sigma), images)
  return product('jw,bhwc->bhjc', _blur_matrix(width, sigma), images)


def normalise(images, *, sigma=0.08, floor=0.01, clip=3.0):
  """Local contrast normalisation.

  Args:
    images: [B, H, W, C] in [-1, 1].
    sigma: of the high-pass, as a share of the shorter side; the local standard
      deviation is taken over twice that.
    floor: c, added to the local standard deviation; small against skin noise.
      (.01 in [-1, 1] is half a percent of the range.)
    clip: largest magnitude of the result.

  Returns:
    [B, H, W, C] in [-clip, clip].
  """
  chex.assert_rank(images, 4)
  pixels = sigma * min(images.shape[1:3])
  detail = images - gaussian_blur(images, pixels)
  variance = gaussian_blur(detail**2, 2.0 * pixels)
  deviation = jnp.sqrt(jnp.maximum(variance, 0.0) + _TINY)
  return jnp.clip(detail / (deviation + floor), -clip, clip)


@functools.lru_cache(maxsize=32)
def _blur_matrix(size, sigma):
  """[size, size] float32: row i holds the weights of output pixel i."""
  radius = int(_TRUNCATE * sigma + 0.5)
  offsets = np.arange(-radius, radius + 1)
  weights = np.exp(-0.5 * (offsets / sigma) ** 2)
  weights /= weights.sum()
  # Rows of the identity, reflected: which pixel each padded position copies.
  source = np.pad(np.eye(size), ((radius, radius), (0, 0)), mode='reflect')
  matrix = sum(
    weight * source[start : start + size]
    for start, weight in enumerate(weights)
  )
  return np.asarray(matrix, np.float32)

"""Grey conversion and local contrast normalisation.

Local contrast normalisation takes out light and skin tone and leaves the lines:

  d = x - G_σ x,    y = clip( d / (sqrt(G_2σ d²) + c), ±clip )

with G_σ a Gaussian of σ pixels and the border reflected (`ops.blur`).
"""

import chex
import jax.numpy as jnp

from palmjax.ops import blur

# Rec. ITU-R BT.601 luma.
_LUMA = (0.299, 0.587, 0.114)
# Under the root: a constant image has variance 0, and sqrt no derivative there.
_TINY = 1e-12


def grey(images):
  """Grey conversion: RGB [B, H, W, 3] → luma [B, H, W, 1]."""
  chex.assert_shape(images, (None, None, None, 3))
  return jnp.sum(images * jnp.asarray(_LUMA), axis=-1, keepdims=True)


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
  detail = images - blur.gaussian(images, pixels, border='reflect')
  variance = blur.gaussian(detail**2, 2.0 * pixels, border='reflect')
  deviation = jnp.sqrt(jnp.maximum(variance, 0.0) + _TINY)
  return jnp.clip(detail / (deviation + floor), -clip, clip)

"""Rectangles to cover parts of images with (arXiv:1708.04896)."""

import chex
import jax.numpy as jnp


def rectangles(area, aspect, centre, shape):
  """Masks of one rectangle an image.

  Args:
    area: float [B], share of the image. A rectangle at the border loses what
      is outside.
    aspect: float [B], square root of height over width, in shares of the image.
    centre: float [B, 2], (y, x) in [0, 1].
    shape: (H, W).

  Returns:
    bool [B, H, W], true where the middle of a pixel is inside.
  """
  chex.assert_rank([area, aspect, centre], [1, 1, 2])
  sides = []
  for axis, half in enumerate(
    (0.5 * jnp.sqrt(area) * aspect, 0.5 * jnp.sqrt(area) / aspect)
  ):
    position = (jnp.arange(shape[axis]) + 0.5) / shape[axis]
    distance = jnp.abs(position - centre[:, axis, None])
    sides.append(distance < half[:, None])
  return sides[0][:, :, None] & sides[1][:, None, :]

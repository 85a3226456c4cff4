"""Random erasing (arXiv:1708.04896): rectangles that cover parts of images."""

import chex
import jax.numpy as jnp

# Largest height over width of a random rectangle.
_ASPECT = 3.0


def rectangles(area, aspect, centre, shape):
  """Masks with one rectangle in each image.

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


def random_rectangles(uniform, shape, *, area):
  """Masks of rectangles of random area, aspect ratio and place.

  Args:
    uniform: float [B, 4], uniform draws.
    shape: (H, W) of the images.
    area: (least, most), shares of the image.

  Returns:
    bool [B, H, W]. Height over width is between 1/3 and 3. The centre is
    anywhere in the image: a rectangle may leave it.
  """
  low, high = area
  return rectangles(
    low + (high - low) * uniform[:, 0],
    _ASPECT ** (uniform[:, 1] - 0.5),
    uniform[:, 2:4],
    shape,
  )

"""A whole image in a square: proportions kept, centred, grey around it.

A point p of the image comes to s · p + t, s being (width, height) of what it
became over what it was: the side that rounds to whole pixels is stretched by
less than half a pixel.
"""

from typing import NamedTuple

import numpy as np
from PIL import Image

from palmjax.images import image_file

# What exports say of it.
FIT = 'whole image, proportions kept, centred in a square, grey around'
# Zero in [-1, 1], up to rounding.
GREY = 128


class Fitted(NamedTuple):
  """An image scaled into a square, and where it lies there.

  Attributes:
    image: uint8 [S, S, 3].
    scale: float64 [2], s for (x, y).
    start: float64 [2], t in pixels of the square.
  """

  image: np.ndarray
  scale: np.ndarray
  start: np.ndarray

  def place(self, points):
    """Points [..., 2] of the image, in pixels, as points of the square."""
    return points * self.scale + self.start

  def place_back(self, points):
    """Points [..., 2] of the square as points of the image."""
    return (points - self.start) / self.scale


def fit(photo, *, size) -> Fitted:
  """Fits an image in memory, uint8 [H, W, 3], into a square."""
  return _fit(Image.fromarray(photo), photo.shape[1::-1], size)


def decode(path, *, size) -> Fitted:
  """Fits an image file into a square, turned upright by its EXIF tag.

  Args:
    path: of a JPEG, PNG, BMP or WebP file.
    size: S, side of the square in pixels.

  Raises:
    image_file.UnreadableError: the file is no whole image, or claims more than
      `image_file.MAX_PIXELS`.
  """
  with image_file.opened(path) as image:
    stored = image.size
    # Scales a JPEG down inside the decoder, never below twice what is needed.
    image.draft(None, (2 * size, 2 * size))
    loaded = image_file.to_rgb(image_file.load(image))
    full = image_file.upright_size(stored, image_file.orientation(image))
    return _fit(loaded, full, size)


def _fit(image, full, size):
  """`Fitted` of an RGB image that may be a reduced copy of a `full` size."""
  inner = [max(1, round(side * size / max(full))) for side in full]
  start = [(size - side) // 2 for side in inner]
  canvas = Image.new('RGB', (size, size), (GREY,) * 3)
  canvas.paste(image.resize(inner, Image.Resampling.LANCZOS), tuple(start))
  return Fitted(
    np.asarray(canvas),
    np.divide(inner, full),
    np.asarray(start, np.float64),
  )

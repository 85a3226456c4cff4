"""A photograph: read as it is looked at, and squares of it at any rotation.

Points are (x, y) in pixels, x right, y down, the pixel in row i and column j
covering [j, j + 1] × [i, i + 1].
"""

from typing import NamedTuple

import chex
import numpy as np
from PIL import Image

from palmjax.images import image_file, letterbox


class Square(NamedTuple):
  """A square that was cut from a photograph.

  A point q of the square is the point M q + t of the photograph.

  Attributes:
    image: uint8 [S, S, 3]; grey where it reaches beyond the photograph.
    matrix: float64 [2, 2], M.
    start: float64 [2], t.
  """

  image: np.ndarray
  matrix: np.ndarray
  start: np.ndarray

  def place(self, points):
    """Points [..., 2] of the photograph as points of the square."""
    return (points - self.start) @ np.linalg.inv(self.matrix).T

  def place_back(self, points):
    """Points [..., 2] of the square as points of the photograph."""
    return points @ self.matrix.T + self.start


def read(path):
  """Reads an image file, turned upright by its EXIF tag.

  Args:
    path: of a JPEG, PNG, BMP or WebP file.

  Returns:
    uint8 [H, W, 3], RGB, of the size of the file.

  Raises:
    image_file.UnreadableError: there is no such file, it is no whole image, or
      it claims more than `image_file.MAX_PIXELS`; one line that names the file.
  """
  return image_file.read_or_explain(_decode, path)


def _decode(path):
  with image_file.opened(path) as image:
    return np.asarray(image_file.to_rgb(image_file.load(image)))


def cut(photo, *, centre, side, angle=0.0, size) -> Square:
  """Cuts a square out of a photograph.

  Args:
    photo: uint8 [H, W, 3].
    centre: (x, y) of the square, in pixels.
    side: of the square in pixels of the photograph.
    angle: radians by which the square is turned clockwise.
    size: S, side of the result in pixels.

  Returns:
    `Square`.
  """
  chex.assert_shape(photo, (None, None, 3))
  scale = side / size
  c, s = np.cos(angle), np.sin(angle)
  matrix = scale * np.array([[c, -s], [s, c]])
  start = np.asarray(centre, np.float64) - matrix @ np.full(2, size / 2)
  corners = np.array([[0, 0], [size, 0], [size, size], [0, size]]) @ matrix.T
  # Means of factor × factor pixels, which leave 1 to 2 for each of the square.
  factor = max(1, int(scale))
  limit = photo.shape[1::-1]
  # Two of those more: what is read beside the border of the square.
  low = np.floor((corners + start).min(axis=0)).astype(int) - 2 * factor
  high = np.ceil((corners + start).max(axis=0)).astype(int) + 2 * factor
  low, high = np.clip(low, 0, limit), np.clip(high, 0, limit)
  if (low >= high).any():
    return Square(
      np.full((size, size, 3), letterbox.GREY, np.uint8), matrix, start
    )
  piece = Image.fromarray(photo[low[1] : high[1], low[0] : high[0]])
  across, down = np.column_stack([matrix, start - low]) / factor
  image = piece.reduce(factor).transform(
    (size, size),
    Image.Transform.AFFINE,
    (*across, *down),
    Image.Resampling.BICUBIC,
    fillcolor=(letterbox.GREY,) * 3,
  )
  return Square(np.asarray(image), matrix, start)

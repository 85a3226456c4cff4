"""Boxes, points and outlines drawn into a picture, for people to look at.

Coordinates are (x, y) in pixels of the picture, the pixel in row i and column j
covering [j, j + 1] × [i, i + 1].
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

_EDGE = (16, 18, 22)  # Around every line: seen on any ground.
_WIDTH = 2
_FONT_SIZE = 13
# Of a picture: letters and lines grow with its longer side, from these up.
_LETTERS, _LINES = 1 / 36, 1 / 400


class Shape(NamedTuple):
  """One object to draw: box, label, points.

  Attributes:
    box: float [4], x0, y0, x1, y1.
    label: written above the box.
    points: float [P, 2], dots.
    outline: float [Q, 2], corners of a closed line; none for Q = 0.
    color: (red, green, blue); None takes that of the picture.
  """

  box: np.ndarray
  label: str = ''
  points: np.ndarray = np.empty((0, 2))
  outline: np.ndarray = np.empty((0, 2))
  color: tuple[int, int, int] | None = None


def draw(image, shapes: Sequence[Shape], *, color, side=224):
  """Draws shapes into a copy of an image.

  Args:
    image: uint8 [H, W, 3].
    shapes: the last one is on top.
    color: (red, green, blue), each 0 to 255.
    side: the copy is enlarged, by a whole factor, until its longer side has at
      least so many pixels.

  Returns:
    uint8 [f·H, f·W, 3].
  """
  height, width, _ = image.shape
  factor = max(1, -(-side // max(height, width)))
  picture = Image.fromarray(image).resize(
    (factor * width, factor * height), Image.Resampling.BICUBIC
  )
  pen = ImageDraw.Draw(picture)
  thick = max(_WIDTH, round(_LINES * max(picture.size)))
  for shape in shapes:
    ink = shape.color or color
    if len(shape.outline):
      corners = [tuple(corner) for corner in factor * np.asarray(shape.outline)]
      _line(pen, [*corners, corners[0]], ink, thick)
    x0, y0, x1, y1 = factor * np.asarray(shape.box)
    _line(pen, [(x0, y0), (x1, y0), (x1, y1), (x0, y1), (x0, y0)], ink, thick)
    for x, y in factor * np.asarray(shape.points):
      pen.circle((x, y), thick + 1.5, fill=ink, outline=_EDGE)
    if shape.label:
      _write(pen, shape.label, (x0, y0), picture.size, ink)
  return np.asarray(picture)


def _line(pen, corners, color, width):
  pen.line(corners, fill=_EDGE, width=width + 2, joint='curve')
  pen.line(corners, fill=color, width=width, joint='curve')


def _write(pen, label, corner, size, color):
  """Above the corner, or where the picture has room for it."""
  font = ImageFont.load_default(max(_FONT_SIZE, round(_LETTERS * max(size))))
  left, top, right, bottom = font.getbbox(label)
  width, height = right - left + 6, bottom - top + 6
  x = min(max(corner[0], 0), size[0] - width)
  y = min(max(corner[1] - height, 0), size[1] - height)
  pen.rectangle((x, y, x + width - 1, y + height - 1), fill=color)
  pen.text((x + 3 - left, y + 3 - top), label, fill=_EDGE, font=font)

"""Decisions on two palms, and the square images that are compared."""

import warnings
from typing import NamedTuple

import numpy as np

from palmjax.images import image_file
from palmjax.inference import cut_out, palm_files


class Decision(NamedTuple):
  """Decision on two palms: same or different, score, threshold.

  Attributes:
    decision: 'same' or 'different'.
    score: float, see `measure`.
    threshold: float, on the scale of `score`.
    measure: 'score', which is at least the threshold for one palm, or
      'distance', at most.
    fmr: false match rate that the threshold was set for.
    set_on: what the threshold was set on, in words.
    calibrated: whether that are palms of the camera in use.
    same_side: whether both are left or both right palms; None where one of the
      sides is not known.
  """

  decision: str
  score: float
  threshold: float
  measure: str
  fmr: float
  set_on: str
  calibrated: bool
  same_side: bool | None = None


def squares(palms, *, size):
  """The centred squares of palms.

  Warns of arrays that may show whole hands, as the commands do.

  Args:
    palms: images of palms alone, uint8 [H, W], [H, W, 1] or [H, W, 3], of any
      sizes, or `palm_files.Palm`s.
    size: side of the squares in pixels.

  Returns:
    uint8 [N, size, size, 3].

  Raises:
    ValueError: names the first image of another type or shape.
  """
  if isinstance(palms, np.ndarray) and palms.ndim != 4:
    raise ValueError(f'one array of shape {palms.shape}; give a list of images')
  result = [_square(palm, i, size) for i, palm in enumerate(palms)]
  for i, (palm, square) in enumerate(zip(palms, result, strict=True)):
    if isinstance(palm, palm_files.Palm):
      continue
    if doubt := cut_out.doubt(square, np.shape(palm)[1::-1]):
      warnings.warn(
        f'images[{i}] {doubt}; cut palms out of photos of hands by '
        'palmjax.inference.palm_files.find_palm',
        stacklevel=2,
      )
      break  # One line, however many there are.
  return np.stack(result)


def _square(palm, index, size):
  image = palm.image if isinstance(palm, palm_files.Palm) else palm
  try:
    return image_file.square(image, size=size)
  except ValueError as error:
    raise ValueError(f'images[{index}]: {error}') from error


def side(palm):
  """'left' or 'right'; None where the side of a palm is not known."""
  hand = getattr(palm, 'hand', None)
  return None if hand is None else hand.side


def same_side(a, b):
  """Whether two sides are one; None where a side is not known."""
  return None if None in (a, b) else a == b

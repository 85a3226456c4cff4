"""How the palms of a set lie: the turn that brings their fingers up.

A turn is 0, 90, 180 or 270 degrees clockwise. Sets whose fingers point to the
left have a turn of 90.
"""

import numpy as np

TURNS = (0, 90, 180, 270)


def require(turn):
  """Raises ValueError for what is no turn."""
  # True is 1, and a text of a number is none.
  if isinstance(turn, bool) or turn not in TURNS:
    raise ValueError(
      f'turn={turn}: choose one of {", ".join(map(str, TURNS))}, in degrees '
      'clockwise'
    )


def upright(images, turn):
  """Squares [..., S, S, C], turned clockwise by so many degrees."""
  return np.rot90(images, -turn // 90, axes=(-3, -2))

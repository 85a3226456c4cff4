"""Do the palms of a whole set lie on their side? Told from their mean code.

In palms with the fingers up, lines run level in the upper part and upright in
the lower one. The mean orientation code of many palms shows it. The middle half
of the mean code is averaged to 4 × 4 cells, and the mean of the cells is taken
off. This field has a cosine with the field of drawn palms, as it lies and after
each turn by 90°. The largest one tells the turn. The border is left out: there
real palms show fingers and background.

  python -m release.palm_turn [DIR]

prints the field of drawn palms. It also counts the turns that are found in
cohorts of 40 drawn palms, and of palms of photographs in DIR. The field is that
of as many left as right palms and is symmetric: mirrored sets are not found.
"""

from typing import NamedTuple

import chex
import numpy as np

TURNS = (0, 90, 180, 270)  # Degrees clockwise that bring palms upright.
LEAST = 30  # Palms. The mean of fewer tells too little.

# (cos 2θ, sin 2θ) of drawn palms in 4 × 4 cells, of unit norm.
_UPRIGHT = np.array(
  [
    [[-0.32, -0.019], [-0.339, -0.007], [-0.339, 0.007], [-0.32, 0.019]],
    [[-0.066, -0.199], [-0.126, -0.053], [-0.126, 0.053], [-0.066, 0.199]],
    [[0.096, -0.059], [0.193, -0.049], [0.193, 0.049], [0.096, 0.059]],
    [[0.214, 0.023], [0.347, -0.025], [0.347, 0.025], [0.214, -0.023]],
  ]
)
# A turn is told if its cosine is so large, and so much larger than upright.
_LEAST_COSINE, _MARGIN = 0.3, 0.2


class Fit(NamedTuple):
  """How the palms of a set seem to lie.

  Attributes:
    turn: one of `TURNS`, in degrees clockwise; 0 unless another fits clearly
      better.
    cosines: of each of `TURNS`.
  """

  turn: int
  cosines: tuple[float, ...]


def field(mean):
  """What is compared: float [32, 32, 2], a mean code → [4, 4, 2], unit norm."""
  mean = np.asarray(mean, np.float64)
  chex.assert_rank(mean, 3)
  quarter = len(mean) // 4
  middle = mean[quarter:-quarter, quarter:-quarter]
  cells = middle.reshape(4, len(middle) // 4, 4, len(middle) // 4, 2)
  coarse = cells.mean(axis=(1, 3))
  coarse -= coarse.mean(axis=(0, 1))
  return coarse / max(np.linalg.norm(coarse), 1e-12)


def symmetric(field):
  """The mean of a field [S, S, 2] and of its mirror image."""
  return (field + field[:, ::-1] * (1, -1)) / 2


def fit(mean):
  """Compares a mean code with that of drawn palms in four turns.

  Args:
    mean: float [32, 32, 2], of `orientation_code.mean`, of `LEAST` palms or
      more.

  Returns:
    `Fit`.
  """
  seen = field(mean)
  cosines = tuple(
    float((_clockwise(seen, turn) * _UPRIGHT).sum()) for turn in TURNS
  )
  best = int(np.argmax(cosines))
  clear = cosines[best] >= max(_LEAST_COSINE, cosines[0] + _MARGIN)
  return Fit(TURNS[best] if clear else 0, cosines)


def warning(fit, palms):
  """A line that names the turn, or None where palms seem to lie upright.

  Args:
    fit: `Fit`.
    palms: which palms, in words.
  """
  if not fit.turn:
    return None
  upright, turned = fit.cosines[0], fit.cosines[TURNS.index(fit.turn)]
  return (
    f'{palms}: the mean direction of lines fits palms with the fingers up '
    f'better after a turn by {fit.turn}° clockwise (cosine {turned:.2f}, as '
    f'they are {upright:.2f})'
  )


def _clockwise(field, degrees):
  """The field of the images turned clockwise."""
  quarters = degrees // 90
  turned = np.rot90(field, -quarters, axes=(0, 1))
  # A line turned by 90° has the opposite (cos 2θ, sin 2θ).
  return -turned if quarters % 2 else turned

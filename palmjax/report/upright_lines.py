"""What the mean direction of lines looks like where the fingers point up.

FIELD is (cos 2θ, sin 2θ), θ across the line, in 10 × 10 cells: the mean code of
fine lines of 256 drawn palms at a difficulty of 0.4, without its outermost
cells, and of their mirror images. `tests/report/test_upright_lines.py` makes
such a field again.
"""

import numpy as np

_COS = np.array(
  [
    [2, 5, 4, 2, 0, 0, 2, 4, 5, 2],
    [-4, -1, -2, -4, -6, -6, -4, -2, -1, -4],
    [-11, -8, -10, -8, -8, -8, -8, -10, -8, -11],
    [-11, -8, -9, -8, -7, -7, -8, -9, -8, -11],
    [-2, 0, -2, -1, -2, -2, -1, -2, 0, -2],
    [6, 5, 2, 6, 6, 6, 6, 2, 5, 6],
    [8, 10, 9, 10, 10, 10, 10, 9, 10, 8],
    [6, 9, 12, 12, 14, 14, 12, 12, 9, 6],
    [4, 8, 10, 11, 14, 14, 11, 10, 8, 4],
    [4, 6, 8, 12, 14, 14, 12, 8, 6, 4],
  ]
)  # fmt: skip
_SIN = np.array(
  [
    [-2, -2, -3, -4, -1, 1, 4, 3, 2, 2],
    [-4, -1, -2, -2, 0, 0, 2, 2, 1, 4],
    [-6, -4, -4, 0, 2, -2, 0, 4, 4, 6],
    [-3, -6, -2, -3, 0, 0, 3, 2, 6, 3],
    [-3, -5, -4, -2, -2, 2, 2, 4, 5, 3],
    [0, 1, 0, -2, 1, -1, 2, 0, -1, 0],
    [2, 3, 2, -1, -2, 2, 1, -2, -3, -2],
    [-1, 2, 0, 2, 0, 0, -2, 0, -2, 1],
    [-6, 0, 2, 0, 4, -4, 0, -2, 0, 6],
    [-1, -2, -2, 5, 2, -2, -5, 2, 2, 1],
  ]
)  # fmt: skip

FIELD = np.stack([_COS, _SIN], axis=-1) / 100

"""Figures of a cohort."""

import re

import numpy as np
import pytest

from palmjax.ops import gabor
from palmjax.report import cohort_figures


def strokes(field):
  """(dx, dy) of each stroke of the picture that is no dot, y down."""
  svg = cohort_figures.directions(field, title='Lines').svg
  paths = re.findall(r'd="M (\S+) (\S+) \s*L (\S+) (\S+) \s*"', svg)
  moves = np.array(paths, np.float64).reshape(-1, 2, 2)
  moves = moves[:, 1] - moves[:, 0]
  return moves[np.linalg.norm(moves, axis=1) > 0.5]


@pytest.mark.parametrize('direction', [(1, 0), (0, 1), (1, 1), (1, -1)])
def test_strokes_run_along_the_lines(direction):
  """A dark line, coded as palms are; around it nothing is sure."""
  dx, dy = np.array(direction) / np.hypot(*direction)
  y, x = np.mgrid[:32, :32].astype(np.float32)
  away = np.abs(dy * (x - 16) - dx * (y - 16))
  image = -np.exp(-(away**2) / 2)
  bank = gabor.bank(8, 6.0, 2.6, 17)
  angles = np.pi * np.arange(8) / 8
  winners = np.asarray(gabor.winners(image[None, :, :, None], bank))[0]
  twice = 2 * angles[winners]
  field = np.stack([np.cos(twice), np.sin(twice)], axis=-1)
  on_line = (away < 0.5) & (np.hypot(x - 16, y - 16) < 6)
  drawn = strokes(field * on_line[..., None])
  assert len(drawn) == on_line.sum() >= 7
  crossed = np.abs(drawn @ np.array([-dy, dx]))
  assert (crossed < 0.02 * np.linalg.norm(drawn, axis=1)).all()


def test_longer_strokes_where_palms_agree_more():
  field = np.zeros((8, 8, 2), np.float32)
  field[..., 0] = 0.1
  field[4:, :, 0] = 0.2
  lengths = np.linalg.norm(strokes(field), axis=1)
  np.testing.assert_allclose(lengths[32:], 2 * lengths[:32], rtol=0.02)


def test_no_directions_make_no_strokes():
  assert len(strokes(np.zeros((4, 4, 2), np.float32))) == 0

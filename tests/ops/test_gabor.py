"""Gabor filters, winners and codes against loops in NumPy."""

import math

import jax
import numpy as np
import pytest

from palmjax.ops import gabor

BANK = gabor.bank(4, 5.0, 2.0, 9)
WINNERS = jax.jit(gabor.winners)


def noise(*shape, seed=0):
  return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def response(image, bank):
  """Correlation with each filter, mirrored borders, by the definition."""
  side = len(bank)
  margin = side // 2
  height, width = image.shape

  def mirrored(place, size):
    return -1 - place if place < 0 else min(place, 2 * size - 1 - place)

  sums = np.zeros((height, width, bank.shape[-1]))
  for row in range(height):
    for column in range(width):
      for i in range(side):
        for j in range(side):
          y = mirrored(row + i - margin, height)
          x = mirrored(column + j - margin, width)
          sums[row, column] += bank[i, j, 0].astype(np.float64) * image[y, x]
  return sums


def test_bank_is_the_formula():
  got = gabor.bank(8, 6.0, 2.6, 17)
  assert (got.shape, got.dtype) == ((17, 17, 1, 8), np.float32)
  angle = math.pi * 3 / 8
  raw = np.empty((17, 17))
  for i in range(17):
    for j in range(17):
      x, y = j - 8, i - 8
      u = x * math.cos(angle) + y * math.sin(angle)
      v = y * math.cos(angle) - x * math.sin(angle)
      bell = math.exp(-(u**2 + v**2 / 4) / (2 * 2.6**2))
      raw[i, j] = bell * math.cos(2 * math.pi * u / 6)
  raw -= raw.mean()
  np.testing.assert_allclose(
    got[:, :, 0, 3], raw / np.sqrt((raw**2).sum()), atol=1e-6
  )


def test_filters_have_zero_mean_unit_norm_and_a_centre():
  np.testing.assert_allclose(BANK.mean((0, 1)), 0, atol=1e-7)
  np.testing.assert_allclose((BANK**2).sum((0, 1)), 1, atol=1e-6)
  # `winners` convolves in place of correlating.
  np.testing.assert_allclose(BANK, BANK[::-1, ::-1], atol=1e-7)


def test_a_filter_without_centre_is_refused():
  with pytest.raises(ValueError, match='16 is even'):
    gabor.bank(8, 6.0, 2.6, 16)


def test_winners_equal_loops():
  # Smaller than the filters: borders are mirrored on all sides.
  images = noise(2, 7, 12, 1)
  got = WINNERS(images, BANK)
  assert got.dtype == np.int32
  for image, winner in zip(images[..., 0], np.asarray(got), strict=True):
    want = response(image, BANK)
    # Ties in float32 may fall otherwise.
    ranked = np.sort(want)
    clear = ranked[..., 1] - ranked[..., 0] > 1e-5
    assert clear.mean() > 0.99
    np.testing.assert_array_equal(winner[clear], want.argmin(-1)[clear])


@pytest.mark.parametrize('winner, step', [(0, (0, 1)), (2, (1, 0))])
def test_dark_lines_win_in_their_direction(winner, step):
  """Filter 0 of 4 finds upright lines; filter 2 finds level ones."""
  rows, columns = np.mgrid[:24, :24]
  place = rows * step[0] + columns * step[1]
  images = np.where(place == 12, -1.0, 0.0)[None, ..., None]
  winners = np.asarray(WINNERS(images.astype(np.float32), BANK))[0]
  assert (winners[place == 12] == winner).all()


def test_gain_and_offset_change_no_winner():
  # Whole numbers in, powers of two out: no rounding but that of the filters.
  images = np.random.default_rng(1).integers(0, 64, (3, 32, 32, 1))
  images = images.astype(np.float32)
  plain = np.asarray(WINNERS(images, BANK))
  np.testing.assert_array_equal(WINNERS(4 * images, BANK), plain)
  moved = np.asarray(WINNERS(images + 100, BANK))
  # Sums round: what an offset may turn over is a tie.
  for i, row, column in np.argwhere(moved != plain):
    ranked = np.sort(response(images[i, ..., 0], BANK)[row, column])
    assert ranked[1] - ranked[0] < 1e-3
  assert (moved != plain).mean() < 1e-3


def test_code_is_the_mean_direction_of_four_pixels():
  winners = np.array([[[0, 0, 0, 4], [0, 0, 2, 6], [1, 1, 5, 5], [3, 3, 1, 1]]])
  got = jax.jit(gabor.code, static_argnums=1)(winners, 8)
  # Of 8 directions k and k + 4 are at right angles: they cancel.
  want = np.zeros((1, 2, 2, 2))
  want[0, 0, 0] = 1, 0
  want[0, 1, 0] = 0, math.sin(math.pi / 4)
  np.testing.assert_allclose(got, want, atol=1e-6)
  assert got.dtype == np.float32


def test_winners_of_odd_size_have_no_code():
  with pytest.raises(ValueError, match='cannot halve 5 x 4 winners'):
    gabor.code(np.zeros((1, 5, 4), np.int32), 8)

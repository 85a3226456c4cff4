"""Whole hands are told from palms alone."""

import numpy as np
import pytest

from palmjax.inference import cut_out
from tests.inference import drawn_palms

SKIN, WALL = (200, 150, 120), (180, 182, 184)


def hand(skin=SKIN, wall=WALL, width=0.5):
  """A block of skin from the lower border on, before a wall: [64, 64, 3]."""
  image = np.full((64, 64, 3), wall, np.uint8)
  half = int(32 * width)
  image[12:, 32 - half : 32 + half] = skin
  return image


def test_a_hand_before_a_wall():
  assert cut_out.shows_hand(hand())
  assert cut_out.shows_hand(hand(wall=(40, 70, 60)))
  # Whatever the sides of the photo.
  for size in ((64, 60), (64, 90)):
    assert cut_out.doubt(hand(), size) == 'seems to show a whole hand'


def test_grey_and_warm_walls_are_not_told():
  assert not cut_out.shows_hand(hand((150,) * 3, (40,) * 3))
  assert not cut_out.shows_hand(hand(wall=(160, 110, 80)))


def test_skin_all_over_but_for_a_corner():
  assert not cut_out.shows_hand(hand(width=1.0))
  assert not cut_out.shows_hand(np.zeros((64, 64, 3), np.uint8))


@pytest.mark.parametrize('difficulty', [0.3, 0.8])
def test_drawn_palms_are_palms_alone(difficulty):
  images = drawn_palms.draw(0, difficulty)
  assert not any(map(cut_out.shows_hand, images))


@pytest.mark.parametrize(
  'size, doubt',
  [
    ((64, 64), ''),
    ((64, 52), ''),
    ((640, 480), 'is no square cut-out'),
    ((480, 640), 'is no square cut-out'),
  ],
)
def test_sides_of_a_cut_out(size, doubt):
  assert cut_out.doubt(np.full((64, 64, 3), SKIN, np.uint8), size) == doubt

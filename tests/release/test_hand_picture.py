"""The README's picture of hands, with a detector that finds nothing."""

import numpy as np
import pytest
from PIL import Image

from palmjax.inference import finder
from palmjax.recipes.shared import hand_images
from release import hand_picture


def test_evenly_takes_the_first_and_equal_distances():
  assert hand_picture.evenly(range(10), 5) == [0, 2, 4, 6, 8]
  assert hand_picture.evenly(range(7), 3) == [0, 2, 4]


def test_grid_has_whole_rows_of_squares():
  images = [np.full((40, 80, 3), i, np.uint8) for i in range(7)]
  grid = hand_picture.grid(images, 3)
  assert grid.shape == (400, 600, 3)
  # Wide pictures have white above and below.
  assert (grid[10, 100] == 255).all()
  assert (grid[100, 300] == 1).all()


@pytest.fixture
def photos(tmp_path):
  (tmp_path / 'data.yaml').write_text("names: ['five']\n")
  for name in ('images', 'labels'):
    (tmp_path / 'valid' / name).mkdir(parents=True)
  for i in range(5):
    image = Image.new('RGB', (60, 40), (50 * i, 0, 0))
    image.save(tmp_path / f'valid/images/{i}.png')
    (tmp_path / f'valid/labels/{i}.txt').write_text('0 .5 .5 .4 .4\n')
  return tmp_path


def test_photographs_come_before_drawn_hands(photos, monkeypatch):
  looked = []

  def find(image):
    looked.append(image.shape)
    return []

  def draw(key, number, *, size, difficulty):
    return {'image': np.zeros((number, size, size, 3), np.uint8)}

  monkeypatch.setattr(finder, 'load', lambda export: find)
  monkeypatch.setattr(hand_images, 'draw', draw)
  out = photos / 'made' / 'hands.jpg'
  hand_picture.main([f'--boxes={photos}', f'--out={out}', '--columns=2'])
  assert looked == [(40, 60, 3)] * 4 + [(320, 320, 3)] * 2
  assert Image.open(out).size == (400, 600)

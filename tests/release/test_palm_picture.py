import numpy as np

from release import palm_picture


def test_nth_image_stays_within_its_identity():
  labels = np.array([0, 0, 0, 1, 2, 2])
  assert palm_picture.nth_of_each(labels, 0).tolist() == [0, 3, 4]
  assert palm_picture.nth_of_each(labels, 1).tolist() == [1, 3, 5]
  assert palm_picture.nth_of_each(labels, 9).tolist() == [2, 3, 5]


def test_strip_is_one_row_of_equal_tiles():
  images = np.random.default_rng(0).integers(0, 256, (3, 20, 20, 3), np.uint8)
  assert palm_picture.strip(images, 2).shape == (96, 192, 3)

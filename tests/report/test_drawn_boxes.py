import numpy as np
import pytest

from palmjax.report import drawn_boxes

COLOR = (250, 120, 10)


def coloured(picture):
  """Where the colour is: bool [H, W]."""
  return (picture == COLOR).all(axis=-1)


def test_box_is_drawn_around_its_pixels():
  image = np.full((40, 60, 3), 90, np.uint8)
  shape = drawn_boxes.Shape(np.array([10.0, 5.0, 50.0, 30.0]))
  picture = drawn_boxes.draw(image, [shape], color=COLOR, side=100)
  assert picture.shape == (80, 120, 3)
  rows, columns = np.nonzero(coloured(picture))
  # Lines are 2 wide, at twice the coordinates.
  assert abs(rows.min() - 10) <= 1
  assert abs(rows.max() - 60) <= 1
  assert abs(columns.min() - 20) <= 1
  assert abs(columns.max() - 100) <= 1
  assert not coloured(picture)[14:56, 24:96].any()
  assert (picture[30, 60] == 90).all()
  np.testing.assert_array_equal(image, 90)


def test_points_outline_and_label():
  image = np.zeros((100, 100, 3), np.uint8)
  shape = drawn_boxes.Shape(
    np.array([20.0, 30.0, 90.0, 90.0]),
    'thumb_up 0.91',
    points=np.array([[50.0, 60.0]]),
    outline=np.array([[40.0, 40.0], [80.0, 40.0], [80.0, 80.0]]),
  )
  bare = drawn_boxes.draw(image, [shape._replace(label='')], color=COLOR)
  assert bare.shape == (300, 300, 3)
  seen = coloured(bare)
  assert seen[180, 150]  # The point.
  assert seen[118:123, 200].any()  # The outline, and where it closes:
  assert seen[178:183, 178:183].any()
  assert not seen[150, 200]
  labelled = coloured(drawn_boxes.draw(image, [shape], color=COLOR))
  rows, columns = np.nonzero(labelled & ~seen)
  assert 60 < rows.min() < 80 > columns.min() > 55
  assert rows.max() <= 91


@pytest.mark.parametrize('corner', [(-30.0, -30.0), (95.0, 95.0)])
def test_labels_stay_in_the_picture(corner):
  image = np.zeros((100, 100, 3), np.uint8)
  box = np.array([*corner, corner[0] + 20, corner[1] + 20])
  shape = drawn_boxes.Shape(box, 'fist 0.40')
  picture = drawn_boxes.draw(image, [shape], color=COLOR, side=100)
  bare = drawn_boxes.draw(
    image, [shape._replace(label='')], color=COLOR, side=100
  )
  assert (coloured(picture) & ~coloured(bare)).sum() > 300


def test_nothing_to_draw():
  image = np.random.default_rng(0).integers(0, 256, (224, 200, 3), np.uint8)
  picture = drawn_boxes.draw(image, [], color=COLOR)
  np.testing.assert_array_equal(picture, image)


def test_letters_grow_with_the_picture():
  def height(side):
    image = np.zeros((side, side, 3), np.uint8)
    shape = drawn_boxes.Shape(np.array([0.4, 0.4, 0.6, 0.6]) * side, 'fist')
    picture = drawn_boxes.draw(image, [shape], color=COLOR)
    rows = np.flatnonzero(coloured(picture)[: int(0.4 * side) - 4].any(axis=1))
    return np.ptp(rows) + 1

  assert 10 < height(400) < 22
  assert 2 * height(400) < height(1600)

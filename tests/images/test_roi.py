"""The ROI of painted palms at any rotation, size and place."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from palmjax.images import roi

# The palm frame of a left palm with d = 1: valleys at (±½, 0), wrist below.
_LEFT = np.array([[-0.5, 0.0], [0.5, 0.0], [0.1, 2.3]])
_RIGHT = _LEFT * [-1, 1]

_frame_transform = jax.jit(roi.frame_transform)
_corners = jax.jit(roi.corners)
_outside = jax.jit(roi.outside)


def _place(points, *, angle=0.0, scale=50.0, centre=(150.0, 140.0)):
  """Palm coordinates to pixels: turned clockwise, enlarged, moved."""
  c, s = np.cos(angle), np.sin(angle)
  turn = np.array([[c, -s], [s, c]])
  # About the middle of the ROI, which is (0, 1).
  return (points - [0, 1]) @ turn.T * scale + centre


def _palm_colour(x, y):
  """A smooth picture on palm coordinates, different in all four corners."""
  return np.stack(
    [
      127.5 + 100 * np.sin(1.9 * x + 0.4),
      127.5 + 100 * np.cos(1.7 * y),
      127.5 + 80 * np.sin(1.3 * x * y + 0.5 * x),
    ],
    axis=-1,
  )


def _paint(*, angle, scale, centre=(150.0, 140.0), shape=(280, 300)):
  """A photograph of the palm, each pixel the colour of its middle."""
  y, x = np.mgrid[: shape[0], : shape[1]] + 0.5
  pixels = np.stack([x, y], -1) - centre
  c, s = np.cos(angle), np.sin(angle)
  palm = pixels @ np.array([[c, -s], [s, c]]) / scale + [0, 1]
  return _palm_colour(palm[..., 0], palm[..., 1])


def _upright(size):
  """The ROI as it should come out: u in [−.9, .9], v in [.1, 1.9]."""
  position = (np.arange(size) + 0.5) / size
  x, y = np.meshgrid(1.8 * position - 0.9, 1.8 * position + 0.1)
  return _palm_colour(x, y)


def test_the_side_is_that_of_the_corners():
  points = _place(_LEFT, angle=0.7, scale=31.0)
  first, second = _corners(points)[:2]
  side = roi.side_in_image(points)
  assert side == pytest.approx(1.8 * 31.0)
  assert side == pytest.approx(np.linalg.norm(second - first), rel=1e-5)


@functools.cache
def _cut(size):
  return jax.jit(functools.partial(roi.cut, size=size))


@pytest.mark.parametrize('hand', [_LEFT, _RIGHT])
@pytest.mark.parametrize('angle', [0.0, 0.7, np.pi / 2, 3.0, -2.1])
@pytest.mark.parametrize('scale', [30.0, 75.0])
def test_any_rotation_and_size_is_cut_to_one_upright_picture(
  hand, angle, scale
):
  image = _paint(angle=angle, scale=scale)
  points = _place(hand, angle=angle, scale=scale)
  got = _cut(48)(image.astype(np.float32), points.astype(np.float32))
  assert np.abs(got - _upright(48)).max() < 2.0


def test_thumb_side_is_left_in_a_left_roi_and_right_in_a_right_one():
  for hand, left in ((_LEFT, True), (_RIGHT, False)):
    points = _place(hand, angle=2.5)
    # Where the index finger's valley and the wrist lie in the ROI.
    to_roi = np.linalg.inv(_frame_transform(points))
    index, _, wrist = (to_roi @ np.append(p, 1.0) for p in points)
    assert (index[0] < 0) == left
    assert index[1] == pytest.approx(-1 / 1.8, abs=1e-5)
    assert wrist[1] > 0.5
    assert bool(roi.is_left(points)) == left
    # The back of a left hand lies as the palm of a right one.
    assert bool(roi.is_left(points, facing=False)) == (not left)


def test_transform_golden():
  # d = 10, upright left palm: the ROI is x 41 to 59, y 21 to 39.
  points = np.array([[45.0, 20.0], [55.0, 20.0], [50.0, 43.0]])
  expected = [[18.0, 0, 50], [0, 18, 30], [0, 0, 1]]
  np.testing.assert_allclose(_frame_transform(points), expected, atol=1e-5)
  np.testing.assert_allclose(
    _corners(points), [[41, 21], [59, 21], [59, 39], [41, 39]], atol=1e-5
  )
  # A quarter turn clockwise: fingers to the right.
  turned = np.array([[20.0, 45.0], [20.0, 55.0], [-3.0, 50.0]])
  expected = [[0, -18.0, 10], [18, 0, 50], [0, 0, 1]]
  np.testing.assert_allclose(_frame_transform(turned), expected, atol=1e-5)


def test_transform_of_another_square():
  # 32 wide, its centre 7 below the valleys; a quarter turn clockwise.
  points = np.array([[20.0, 45.0], [20.0, 55.0], [-3.0, 50.0]])
  got = roi.frame_transform(points, side=3.2, centre=0.7)
  expected = [[0, -32.0, 13], [32, 0, 50], [0, 0, 1]]
  np.testing.assert_allclose(got, expected, atol=1e-5)
  # The ROI, by name.
  got = roi.frame_transform(points, side=roi.SIDE, centre=roi.CENTRE)
  np.testing.assert_array_equal(got, roi.frame_transform(points))


def test_transform_takes_the_corners_and_any_leading_shape():
  points = np.stack(
    [_place(_LEFT, angle=a, scale=20 + a) for a in range(6)]
  ).reshape(2, 3, 3, 2)
  corner = np.array([[-0.5, -0.5, 1], [0.5, -0.5, 1], [0.5, 0.5, 1]])
  matrices = _frame_transform(points)
  got = np.einsum('abij,kj->abki', matrices, corner)[..., :2]
  np.testing.assert_allclose(got, _corners(points)[:, :, :3], atol=1e-3)


def test_cut_reads_whole_pixels_of_an_upright_palm():
  # d = 20 / 1.8: the ROI is the 20 × 20 pixels from (10, 5), so a ROI of 5
  # pixels is their means of 4 × 4.
  image = np.random.default_rng(0).uniform(0, 255, (40, 40, 3))
  d = 20 / 1.8
  points = np.array([[20 - d / 2, 15 - d], [20 + d / 2, 15 - d], [20, 40]])
  got = _cut(5)(image.astype(np.float32), points.astype(np.float32))
  expected = image[5:25, 10:30].reshape(5, 4, 5, 4, 3).mean(axis=(1, 3))
  # Read between the pixels, hence not exactly.
  assert np.abs(got - expected).max() < 25
  assert np.abs(got - expected).mean() < 8


def test_shrinking_is_antialiased():
  board = np.indices((320, 320)).sum(axis=0) % 2 * 255.0
  image = np.repeat(board[..., None], 3, 2).astype(np.float32)
  points = _place(_LEFT, angle=0.3, scale=120, centre=(160, 160))
  got = _cut(32)(image, points.astype(np.float32))
  assert np.abs(got - 127.5).max() < 12


@pytest.mark.parametrize('scale', [20.0, 61.0, 220.0])
def test_photo_is_cut_like_an_image(scale):
  shape, centre = (600, 700), (340.0, 290.0)
  image = _paint(angle=0.9, scale=scale, centre=centre, shape=shape)
  points = _place(_RIGHT, angle=0.9, scale=scale, centre=centre)
  photo = np.round(image).astype(np.uint8)
  got = roi.cut_photo(photo, points, size=32)
  assert got.dtype == np.uint8
  assert np.abs(got.astype(float) - _upright(32)).max() < 3.0


def test_photo_is_mirrored_beyond_its_border_like_an_image():
  shape, centre = (90, 100), (15.0, 60.0)
  image = _paint(angle=-0.5, scale=30, centre=centre, shape=shape)
  photo = np.round(image).astype(np.uint8)
  points = _place(_LEFT, angle=-0.5, scale=30, centre=centre)
  assert 0.1 < _outside(points, shape) < 0.5
  got = roi.cut_photo(photo, points, size=32).astype(float)
  expected = _cut(32)(photo.astype(np.float32), points.astype(np.float32))
  assert np.abs(got - expected).max() < 6.0


def test_share_outside():
  # The ROI is x 1 to 19, y 1 to 19.
  points = np.array([[5.0, 0.0], [15.0, 0.0], [10.0, 23.0]])
  assert float(_outside(points, (20, 20))) == 0.0
  assert float(_outside(points, (10, 20))) == pytest.approx(0.5, abs=1e-3)
  both = _outside(np.stack([points, points + 100]), (20, 10))
  np.testing.assert_allclose(both, [0.5, 1.0], atol=1e-3)


def test_degenerate_frames_stay_finite_and_photos_of_them_are_refused():
  same = np.array([[5.0, 5.0], [5.0, 5.0], [5.0, 5.0]], np.float32)
  assert jnp.isfinite(_frame_transform(same)).all()
  photo = np.zeros((64, 64, 3), np.uint8)
  for points, message in (
    (same, 'no direction or is not finite'),
    (same * np.nan, 'no direction or is not finite'),
    (_place(_LEFT, centre=(500, 32)), 'most of the palm lies outside'),
    (_place(_LEFT, scale=1e6), 'most of the palm lies outside'),
  ):
    with pytest.raises(ValueError, match=message):
      roi.cut_photo(photo, points, size=16)


def test_batches_are_mapped():
  images = np.stack([_paint(angle=a, scale=40.0) for a in (0.0, 1.0)])
  points = np.stack([_place(_LEFT, angle=a, scale=40.0) for a in (0.0, 1.0)])
  cut = jax.jit(jax.vmap(functools.partial(roi.cut, size=24)))
  got = cut(images.astype(np.float32), points.astype(np.float32))
  assert np.abs(got - _upright(24)).max() < 2.5

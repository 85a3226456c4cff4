import jax
import numpy as np

from palmjax.ops import erase

RECTANGLES = jax.jit(erase.rectangles, static_argnums=3)


def test_rectangles_golden():
  # A quarter of the area; then 0.5 · 1.5 high and 0.5 / 1.5 wide.
  masks = RECTANGLES(
    np.float32([0.25, 0.25]),
    np.float32([1.0, 1.5]),
    np.float32([[0.25, 0.75], [0.5, 0.0]]),
    (4, 6),
  )
  expected = np.zeros((2, 4, 6), bool)
  expected[0, :2, 3:] = True
  expected[1, :, :1] = True  # Half of it is outside.
  # Middles 1/8, 3/8, 5/8, 7/8 lie within 3/8 of the centre: open ends.
  expected[1, [0, 3]] = False
  np.testing.assert_array_equal(masks, expected)


def test_nothing_and_everything():
  masks = RECTANGLES(
    np.float32([0.0, 1.0]), np.ones(2), np.full((2, 2), 0.5), (5, 3)
  )
  assert np.sum(masks, axis=(1, 2)).tolist() == [0, 15]


def test_random_rectangles_are_as_large_and_as_long_as_they_may_be():
  uniform = np.random.default_rng(0).uniform(size=(900, 4)).astype(np.float32)
  uniform[:, 2:] = 0.5  # Nothing is lost at the border.
  draw = jax.jit(
    lambda uniform: erase.random_rectangles(
      uniform, (200, 200), area=(0.1, 0.2)
    )
  )
  masks = np.asarray(draw(uniform))
  share = masks.mean(axis=(1, 2))
  assert 0.09 < share.min() < 0.105
  assert 0.195 < share.max() < 0.21
  height = masks.any(axis=2).sum(axis=1)
  width = masks.any(axis=1).sum(axis=1)
  assert 2.7 < np.max(height / width) < 3.3
  assert 2.7 < np.max(width / height) < 3.3

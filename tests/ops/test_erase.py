import jax.numpy as jnp
import numpy as np

from palmjax.ops import erase


def test_rectangles_golden():
  # A quarter of the area; then 0.5 · 1.5 high and 0.5 / 1.5 wide.
  masks = erase.rectangles(
    jnp.array([0.25, 0.25]),
    jnp.array([1.0, 1.5]),
    jnp.array([[0.25, 0.75], [0.5, 0.0]]),
    (4, 6),
  )
  expected = np.zeros((2, 4, 6), bool)
  expected[0, :2, 3:] = True
  expected[1, :, :1] = True  # Half of it is outside.
  # Middles 1/8, 3/8, 5/8, 7/8 lie within 3/8 of the centre: open ends.
  expected[1, [0, 3]] = False
  np.testing.assert_array_equal(masks, expected)


def test_nothing_and_everything():
  masks = erase.rectangles(
    jnp.array([0.0, 1.0]), jnp.ones(2), jnp.full((2, 2), 0.5), (5, 3)
  )
  assert masks.sum(axis=(1, 2)).tolist() == [0, 15]


def test_random_rectangles_are_as_large_and_as_long_as_they_may_be():
  uniform = np.random.default_rng(0).uniform(size=(900, 4)).astype(np.float32)
  uniform[:, 2:] = 0.5  # Nothing is lost at the border.
  masks = erase.random_rectangles(
    jnp.array(uniform), (200, 200), area=(0.1, 0.2)
  )
  share = np.asarray(masks).mean(axis=(1, 2))
  assert 0.09 < share.min() < 0.105
  assert 0.195 < share.max() < 0.21
  height = np.asarray(masks).any(axis=2).sum(axis=1)
  width = np.asarray(masks).any(axis=1).sum(axis=1)
  assert 2.7 < np.max(height / width) < 3.3
  assert 2.7 < np.max(width / height) < 3.3

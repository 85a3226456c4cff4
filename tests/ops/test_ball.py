"""The ball around images: radius, range, the nearest point in both."""

import jax
import numpy as np
import pytest

from palmjax.ops import ball

# A radius is traced.
PROJECT, UNIFORM = jax.jit(ball.project), jax.jit(ball.uniform)
RADII = (0.0, 1 / 255, 8 / 255, 0.3, 1.0)


def images(seed, shape=(2, 4, 3, 3)):
  """Some of the values are at the ends of the range."""
  rng = np.random.default_rng(seed)
  return np.clip(rng.uniform(-1.3, 1.3, shape), -1, 1).astype(np.float32)


def assert_inside(perturbed, images, radius):
  # A share of [0, 1] is twice as much of [−1, 1].
  assert np.abs(perturbed - images).max() <= 2 * radius + 2e-7
  assert np.abs(perturbed).max() <= 1


@pytest.mark.parametrize('radius', RADII)
@pytest.mark.parametrize('seed', range(5))
def test_projection(radius, seed):
  centre = images(seed)
  rng = np.random.default_rng(100 + seed)
  spread = rng.choice([0.001, 0.1, 3.0], centre.shape)
  far = (centre + spread * rng.normal(size=centre.shape)).astype(np.float32)
  near = np.asarray(PROJECT(far, centre, radius=radius))
  assert_inside(near, centre, radius)
  again = PROJECT(near, centre, radius=radius)
  np.testing.assert_array_equal(again, near)
  # The nearest one: value by value, the closest end where it is outside.
  low = np.maximum(centre - np.float32(2 * radius), -1)
  high = np.minimum(centre + np.float32(2 * radius), 1)
  expected = np.where(far < low, low, np.where(far > high, high, far))
  np.testing.assert_allclose(near, expected, atol=2e-7)


@pytest.mark.parametrize('radius', RADII)
def test_uniform_start(radius):
  centre = images(7, (4, 16, 16, 3))
  start = np.asarray(UNIFORM(jax.random.key(0), centre, radius=radius))
  assert_inside(start, centre, radius)
  other = UNIFORM(jax.random.key(1), centre, radius=radius)
  assert (np.asarray(start) != other).any() == (radius > 0)
  free = np.abs(centre) < 1 - 2 * radius
  if radius and free.any():
    shares = ((start - centre) / (2 * radius))[free]
    assert np.abs(shares.mean()) < 0.05
    assert shares.std() == pytest.approx(1 / np.sqrt(3), abs=0.02)


def test_radius_zero_gives_the_images():
  centre = images(8)
  for perturbed in (
    PROJECT(centre + 1, centre, radius=0.0),
    UNIFORM(jax.random.key(0), centre, radius=0.0),
  ):
    np.testing.assert_array_equal(perturbed, centre)

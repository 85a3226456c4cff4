"""The map from palm to image."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from palmjax.data.palms import latents
from palmjax.data.palms import pose as palm_pose

GRID = np.stack(
  np.meshgrid(np.linspace(-0.2, 1.2, 15), np.linspace(-0.2, 1.2, 15)), -1
).reshape(-1, 2)


TO_IMAGE = jax.jit(palm_pose.to_image)


@jax.jit
def _pose(seed, difficulty, mirror=0):
  one, two = jax.random.split(jax.random.key(seed))
  z = latents.draw(one, two)
  return palm_pose.pose(z['warp'], z['place'], mirror, difficulty)


def test_difficulty_zero_is_the_identity():
  np.testing.assert_allclose(TO_IMAGE(_pose(0, 0.0), GRID), GRID, atol=1e-6)


def test_right_palms_flip_before_the_pose():
  left, right = _pose(1, 0.8), _pose(1, 0.8, mirror=1)
  flipped = GRID * [-1, 1] + [1, 0]
  np.testing.assert_allclose(
    TO_IMAGE(right, GRID),
    TO_IMAGE(left, flipped),
    atol=1e-6,
  )


def _determinants(pose):
  """Of the Jacobian at the points of `GRID`."""
  jacobian = jax.vmap(jax.jacfwd(lambda p: palm_pose.to_image(pose, p)))(
    np.float32(GRID)
  )
  return jnp.linalg.det(jacobian)


DETERMINANTS = jax.jit(_determinants)


def test_jacobian_is_positive_everywhere():
  @jax.jit
  @jax.vmap
  def of_seeds(seed):
    return _determinants(_pose(seed, 1.0))

  values = np.asarray(of_seeds(np.arange(400)))
  assert values.min() > 0.2
  # The stretch is not a constant scale.
  assert np.median(values.std(axis=1)) > 0.05


@pytest.mark.parametrize('sign', [-1.0, 1.0])
def test_jacobian_is_positive_for_the_worst_latents(sign):
  pose = jax.jit(palm_pose.pose)(
    np.full(16, 2.0 * sign, np.float32), np.zeros(8, np.float32), 0.0, 1.0
  )
  assert np.min(DETERMINANTS(pose)) > 0.0


def test_to_palm_inverts():
  inside = GRID[np.all((GRID >= 0) & (GRID <= 1), axis=1)]

  @jax.jit
  def there_and_back(pose):
    return palm_pose.to_image(pose, palm_pose.to_palm(pose, inside))

  for seed in range(30):
    back = there_and_back(_pose(seed, 0.7, mirror=seed % 2))
    assert np.abs(np.asarray(back) - inside).max() < 0.02


def test_area_is_the_determinant_without_stretch():
  waves = np.zeros((4, 2, 2), np.float32)
  pose = _pose(2, 1.0, mirror=1)._replace(waves=waves)
  np.testing.assert_allclose(
    jax.jit(palm_pose.area)(pose, GRID),
    -np.asarray(DETERMINANTS(pose)),
    rtol=1e-4,
  )


def test_shifts_reach_a_tenth_of_the_side_only_when_hard():
  shifts = jax.jit(
    jax.vmap(lambda seed, difficulty: _pose(seed, difficulty).shift, (0, None))
  )
  shift = {d: np.abs(shifts(np.arange(60), d)) for d in (0.5, 1.0)}
  assert shift[0.5].max() < 0.1
  assert np.mean(shift[1.0] > 0.1) > 0.2

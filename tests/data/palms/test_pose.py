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


def _pose(seed, difficulty, mirror=0):
  one, two = jax.random.split(jax.random.key(seed))
  z = latents.draw(one, two)
  return palm_pose.pose(z['warp'], z['place'], mirror, difficulty)


def test_difficulty_zero_is_the_identity():
  np.testing.assert_allclose(
    palm_pose.to_image(_pose(0, 0.0), GRID), GRID, atol=1e-6
  )


def test_right_palms_flip_before_the_pose():
  left, right = _pose(1, 0.8), _pose(1, 0.8, mirror=1)
  flipped = GRID * [-1, 1] + [1, 0]
  np.testing.assert_allclose(
    palm_pose.to_image(right, GRID),
    palm_pose.to_image(left, flipped),
    atol=1e-6,
  )


def test_jacobian_is_positive_everywhere():
  def determinants(seed):
    pose = _pose(seed, 1.0)
    jacobian = jax.vmap(jax.jacfwd(lambda p: palm_pose.to_image(pose, p)))(
      jnp.asarray(GRID, jnp.float32)
    )
    return jnp.linalg.det(jacobian)

  values = np.asarray(jax.jit(jax.vmap(determinants))(jnp.arange(400)))
  assert values.min() > 0.2
  # The stretch is not a constant scale.
  assert np.median(values.std(axis=1)) > 0.05


@pytest.mark.parametrize('sign', [-1.0, 1.0])
def test_jacobian_is_positive_for_the_worst_latents(sign):
  pose = palm_pose.pose(sign * jnp.full(16, 2.0), jnp.zeros(8), 0.0, 1.0)
  jacobian = jax.vmap(jax.jacfwd(lambda p: palm_pose.to_image(pose, p)))(
    jnp.asarray(GRID, jnp.float32)
  )
  assert float(jnp.linalg.det(jacobian).min()) > 0.0


def test_to_palm_inverts():
  inside = GRID[np.all((GRID >= 0) & (GRID <= 1), axis=1)]
  for seed in range(30):
    pose = _pose(seed, 0.7, mirror=seed % 2)
    back = palm_pose.to_image(pose, palm_pose.to_palm(pose, inside))
    assert np.abs(np.asarray(back) - inside).max() < 0.02


def test_area_is_the_determinant_without_stretch():
  pose = _pose(2, 1.0, mirror=1)._replace(waves=jnp.zeros((4, 2, 2)))
  jacobian = jax.vmap(jax.jacfwd(lambda p: palm_pose.to_image(pose, p)))(
    jnp.asarray(GRID, jnp.float32)
  )
  np.testing.assert_allclose(
    palm_pose.area(pose, GRID), -np.linalg.det(jacobian), rtol=1e-4
  )


def test_shifts_reach_a_tenth_of_the_side_only_when_hard():
  shift = {
    d: np.abs([np.asarray(_pose(s, d).shift) for s in range(60)])
    for d in (0.5, 1.0)
  }
  assert shift[0.5].max() < 0.1
  assert np.mean(shift[1.0] > 0.1) > 0.2

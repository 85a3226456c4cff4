"""Skin tone and texture."""

import jax
import jax.numpy as jnp
import numpy as np

from palmjax.data.palms import pose as palm_pose
from palmjax.data.palms import random as palm_random
from palmjax.data.palms import skin

STILL = jax.device_get(
  jax.jit(palm_pose.pose)(np.zeros(16), np.zeros(8), 0.0, 0.0)
)
ABSORBANCE = jax.jit(skin.absorbance)


@jax.jit
def _kernels(seed):
  return skin.texture_kernels(
    *palm_random.blocks(jax.random.key(seed), skin.UNIFORMS, skin.NORMALS)
  )


def test_mottling_has_about_unit_variance():
  def variance(seed):
    coarse = _kernels(seed)[1]
    return jnp.mean(skin.splat(coarse, STILL, size=24, blur=0.0) ** 2)

  mean = float(jnp.mean(jax.jit(jax.vmap(variance))(jnp.arange(60))))
  # Less than 1 since finer kernels weigh less.
  assert 0.4 < mean < 1.0


def test_texture_moves_with_the_pose():
  # A quarter turn of the palm is a quarter turn of the picture.
  fine = _kernels(0)[0]
  turned = STILL._replace(matrix=np.float32([[0.0, -1.0], [1.0, 0.0]]))
  splat = jax.jit(lambda pose: skin.splat(fine, pose, size=48, blur=0.0))
  still, moved = jax.device_get((splat(STILL), splat(turned)))
  np.testing.assert_allclose(moved, np.rot90(still, -1), atol=0.02)
  flipped = splat(STILL._replace(mirror=np.float32(1.0)))
  np.testing.assert_allclose(flipped, still[:, ::-1], atol=0.02)


def test_pigments_darken_and_redden():
  def color(melanin, blood, creases=0.0):
    person = skin.Person(*map(np.float32, (melanin, blood, 0.5, 0.5)))
    creases, flat = np.float32(creases), np.float32(0.0)
    return np.exp(-np.asarray(ABSORBANCE(person, creases, flat, flat, 0.0)))

  pale, dark = color(0.0, 0.3), color(1.0, 0.3)
  assert np.all(dark < 0.4 * pale)
  assert color(0.3, 1.0)[1] / color(0.3, 1.0)[0] < pale[1] / pale[0]
  for melanin in (0.0, 1.0):
    assert np.all(color(melanin, 0.3, 1.0) < color(melanin, 0.3))

"""Affine maps, and the order of the valleys of a palm frame."""

import jax
import jax.numpy as jnp
import numpy as np

from palmjax.images import palm_frame


def test_inverse_and_points_of_affine_maps():
  generator = np.random.default_rng(1)
  matrices = generator.normal(size=(4, 5, 3, 3))
  matrices[..., 2, :] = [0, 0, 1]
  points = generator.normal(size=(4, 5, 6, 2))
  inverses = np.linalg.inv(matrices)
  got = jax.jit(palm_frame.inverse)(matrices.astype(np.float32))
  size = np.abs(inverses).max(axis=(-1, -2), keepdims=True)
  np.testing.assert_allclose(got / size, inverses / size, atol=2e-5)
  moved = jax.jit(palm_frame.apply)(
    matrices.astype(np.float32), points.astype(np.float32)
  )
  longer = np.concatenate([points, np.ones((4, 5, 6, 1))], -1)
  want = np.einsum('abij,abkj->abki', matrices, longer)[..., :2]
  np.testing.assert_allclose(moved, want, atol=1e-5)


def test_the_left_valley_comes_first():
  points = jnp.array([[[1.0, 5], [2, 6], [0, 0]], [[4.0, 5], [3, 6], [9, 9]]])
  want = [[[1, 5], [2, 6], [0, 0]], [[3, 6], [4, 5], [9, 9]]]
  np.testing.assert_array_equal(palm_frame.by_side(points), want)

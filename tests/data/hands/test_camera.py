"""Projection and its inverse on the palm's plane."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from palmjax.data.hands import camera as hand_camera
from palmjax.data.hands import pose

PROJECT = jax.jit(hand_camera.project)
TO_PLANE = jax.jit(hand_camera.to_plane)
TURN = jax.jit(hand_camera.turn)


def _camera(angle=0.4, tilt=(0.3, -0.5), left=True, facing=True):
  return hand_camera.Camera(
    TURN(np.float32(angle), np.float32(tilt), np.asarray(left), facing),
    np.float32(12.0),
    np.float32(20.0),
    np.float32([60.0, 40.0]),
  )


@pytest.mark.parametrize('left', [True, False])
@pytest.mark.parametrize('facing', [True, False])
def test_turn(left, facing):
  camera = _camera(0.0, (0.0, 0.0), left, facing)
  # The little finger's side is to the right of a left palm that faces us.
  side = 1 if left == facing else -1
  expected = np.diag([side, 1, 1 if facing else -1])
  np.testing.assert_allclose(camera.turn, expected, atol=1e-6)
  turned = np.asarray(_camera(0.7, (0.2, 0.6), left, facing).turn)
  np.testing.assert_allclose(turned @ turned.T, np.eye(3), atol=1e-5)
  np.testing.assert_allclose(
    np.linalg.det(turned), 1 if left else -1, atol=1e-5
  )


def test_angle_is_clockwise():
  camera = _camera(np.pi / 2, (0.0, 0.0))
  tip, _ = PROJECT(camera, np.float32([0.0, -1.0, 0.0]))
  np.testing.assert_allclose(tip, [80, 40, 0], atol=1e-4)


def test_projection_by_hand():
  camera = _camera()
  point = np.array([0.3, -1.2, 0.8])
  turned = np.asarray(camera.turn, np.float64) @ point
  near = 20 / (1 - turned[2] / 12)
  place, magnification = PROJECT(camera, point)
  np.testing.assert_allclose(
    place, np.array([60, 40, 0]) + near * turned, rtol=1e-5
  )
  np.testing.assert_allclose(magnification, near, rtol=1e-5)


def test_to_plane_inverts_on_the_palm():
  points = np.random.default_rng(0).uniform(-2, 2, (50, 3)).astype(np.float32)
  points[:, 2] = 0
  for facing in (True, False):
    camera = _camera(left=False, facing=facing)
    place, _ = jax.device_get(PROJECT(camera, points))
    back = TO_PLANE(camera, place[:, :2])
    np.testing.assert_allclose(back, points[:, :2], atol=1e-4)


def _frame(uniforms, count):
  hand = pose.pose(
    jnp.asarray(5), jnp.full(4, 0.4), jnp.zeros(13), jnp.zeros((4, 3))
  )
  camera = _camera()._replace(scale=jnp.float32(1), center=jnp.zeros(2))
  camera = hand_camera.place(
    camera, hand.cones, 0, count, jnp.asarray(uniforms), 0.3, 100
  )
  return hand_camera.extent(camera, hand.cones)


def test_frame_gives_the_size_asked_for_and_keeps_a_lone_hand_inside():
  boxes = jax.jit(jax.vmap(_frame, (0, None)))
  uniforms = np.random.default_rng(1).uniform(size=(64, 12)).astype(np.float32)
  box = np.asarray(boxes(uniforms, 1))
  side = (box[:, 2:] - box[:, :2]).max(axis=1)
  expected = 100 * (0.2 + 0.72 * uniforms[:, 6] ** 0.7)
  # Magnification changes the box by little.
  np.testing.assert_allclose(side, expected, rtol=1e-3)
  inside = (box.min(axis=1) > -0.5) & (box.max(axis=1) < 100.5)
  assert np.all(inside[uniforms[:, 7] >= 0.2])
  assert 0 < np.sum(~inside) < 12
  shared = np.asarray(boxes(uniforms, 3))
  assert (shared[:, 2:] - shared[:, :2]).max() < 56

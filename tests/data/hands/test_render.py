"""The height field of cones against a direct evaluation in NumPy."""

import jax
import numpy as np

from palmjax.data.hands import camera as hand_camera
from palmjax.data.hands import labels as hand_labels
from palmjax.data.hands import pose as hand_pose
from palmjax.data.hands import render

SIZE = 40


def _cones(**parts):
  """All cones far away but the given ones: number = (start, end, radii)."""
  n = hand_pose.COUNT
  start, end = np.full((n, 3), -500.0), np.full((n, 3), -500.0)
  radius = np.ones((n, 2))
  for number, (a, b, r) in parts.items():
    k = int(number[1:])
    start[k], end[k], radius[k] = a, b, r
  dorsal = np.tile([0.0, 0.0, -1.0], (n, 1))
  arrays = (np.float32(x) for x in (start, end, radius, dorsal))
  return hand_pose.Cones(*arrays)


SURFACE = jax.jit(render.surface, static_argnames='size')
FINGER = hand_pose.PALM + hand_pose.THUMB


def _grid():
  middle = np.arange(SIZE) + 0.5
  return np.meshgrid(middle, middle)


def test_a_cylinder_is_the_hull_of_its_spheres():
  start, end = np.array([8.0, 10, 2]), np.array([28.0, 30, 9])
  radius = 6.0
  drawn = SURFACE(
    _cones(**{f'c{FINGER}': (start, end, radius)}), 12.0, size=SIZE
  )
  x, y = _grid()
  t = np.linspace(0, 1, 3000)[:, None, None]
  center = start[:, None, None, None] + t * (end - start)[:, None, None, None]
  flat = np.hypot(x - center[0], y - center[1])
  distance = flat.min(axis=0) - radius
  # Tiles that no cone reaches are just far.
  near = distance < 2
  assert np.all(np.asarray(drawn.distance)[~near] >= 2)
  np.testing.assert_allclose(
    np.asarray(drawn.distance)[near], distance[near], atol=0.01
  )
  # Heights above the axis count .92 of a sphere's; check the top of it.
  up = np.sqrt(np.maximum(radius**2 - flat**2, 0))
  height = np.where(flat < radius, center[2] + up, -np.inf).max(axis=0)
  axis = np.where(flat < radius, center[2] + up, -np.inf).argmax(axis=0)
  lowered = height - 0.08 * np.take_along_axis(up, axis[None], 0)[0]
  inside = distance < -0.5
  np.testing.assert_allclose(
    np.asarray(drawn.height)[inside], lowered[inside], atol=0.05
  )


def test_tiles_leave_no_seam_and_skip_nothing():
  cones = _cones(
    **{
      f'c{FINGER}': ([3, 20, 0], [37, 20, 0], (3, 3)),
      f'c{FINGER + 1}': ([20, 3, 5], [20, 37, 5], (3, 3)),
    }
  )
  drawn = jax.device_get(SURFACE(cones, 1.0, size=SIZE))
  x, y = _grid()
  bars = []
  for across, along in ((y, x), (x, y)):
    over = along - np.clip(along, 3, 37)
    bars.append(np.hypot(across - 20, over) - 3)
  # With the scale 1 the smooth minimum reaches less than a tenth of a pixel.
  distance = np.minimum(*bars)
  np.testing.assert_allclose(
    np.minimum(drawn.distance, 2), np.minimum(distance, 2), atol=0.05
  )
  # The second bar lies above the first.
  assert np.isclose(drawn.height[20, 20], 5 + 0.92 * np.sqrt(8.5), atol=0.1)


def test_nails_are_on_the_back_and_creases_inside():
  part = ([20, 30, 0], [20, 12, 0], (6, 5))
  back = _cones(**{f'c{FINGER + 2}': part})
  front = jax.device_get(SURFACE(back, 20.0, size=SIZE))
  turned = back._replace(dorsal=-back.dorsal)
  nail = np.asarray(SURFACE(turned, 20.0, size=SIZE).nail)
  assert np.max(front.nail) < 0.05
  assert np.max(nail) > 0.8
  rows = np.nonzero(np.max(nail, axis=1) > 0.5)[0]
  assert rows.max() < 24  # In the half towards the tip.
  crease = front.crease[:, 20]
  assert np.argmax(crease) in range(27, 33)  # At the joint.


def test_a_hand_mostly_hidden_is_not_valid():
  pose = jax.jit(hand_pose.pose)(
    5, np.full(4, 0.5), np.zeros(13), np.zeros((4, 3))
  )
  camera = hand_camera.Camera(
    np.eye(3, dtype=np.float32),
    *(np.float32(14), np.float32(7), np.float32([20.0, 16.0])),
  )
  cones = jax.jit(hand_camera.to_pixels)(camera, pose.cones)
  yes = np.asarray(True)
  hand = hand_labels.Hands(5, yes, yes, pose, camera, cones)
  annotate = jax.jit(hand_labels.annotate)
  owner = np.full((SIZE, SIZE), -1, np.int32)
  owner[3:10, 5:30] = 1
  little = annotate(owner, 1, hand)
  assert not little['valid']
  assert little['boxes'].tolist() == [5, 3, 30, 10]
  owner[3:] = 1
  much = annotate(owner, 1, hand)
  assert much['valid']
  assert much['framed']
  np.testing.assert_allclose(much['points'][:2], [[16.5, 16], [23.5, 16]])

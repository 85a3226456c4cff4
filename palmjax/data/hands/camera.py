"""Camera of drawn hands: projection of the hand, and the arm below it.

A point p of the model is turned and then projected with perspective,

  x ↦ center + scale · (T p)_xy / (1 − (T p)_z / D).

The palm's plane z = 0 goes through a homography, whose inverse says which point
of the palm a pixel shows.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from palmjax.data.hands import pose


class Camera(NamedTuple):
  """x ↦ center + scale · (turn x)_xy / (1 − (turn x)_z / distance).

  Attributes:
    turn: [3, 3] rotation, and reflection for a right hand.
    distance: scalar in units of the model.
    scale: scalar, pixels a unit.
    center: [2] pixels.
  """

  turn: jax.Array
  distance: jax.Array
  scale: jax.Array
  center: jax.Array


def turn(angle, tilt, left, facing):
  """[3, 3] from the model to the camera's axes.

  Args:
    angle: scalar, clockwise in the image, in radians; 0 is fingers up.
    tilt: [2] radians about the hand's own x and y axes.
    left: bool scalar; a right hand is the mirror image.
    facing: bool scalar; the back is seen after half a turn about y.
  """
  c, s = jnp.cos(angle), jnp.sin(angle)
  (cx, cy), (sx, sy) = jnp.cos(tilt), jnp.sin(tilt)
  zero, one = jnp.zeros_like(c), jnp.ones_like(c)
  spin = jnp.stack([c, -s, zero, s, c, zero, zero, zero, one]).reshape(3, 3)
  nod = jnp.stack([one, zero, zero, zero, cx, -sx, zero, sx, cx])
  shake = jnp.stack([cy, zero, sy, zero, one, zero, -sy, zero, cy])
  side, front = 2.0 * left - 1, 2.0 * facing - 1
  # The half turn negates x and z.
  flip = jnp.stack([side * front, one, front])
  return spin @ nod.reshape(3, 3) @ shake.reshape(3, 3) * flip


def project(camera, points):
  """Model points [..., 3] to (x, y) and height in pixels, and magnification."""
  points = points @ camera.turn.T
  near = camera.scale / (1 - points[..., 2:] / camera.distance)
  shift = jnp.concatenate([camera.center, jnp.zeros(1)])
  return shift + near * points, near[..., 0]


def extent(camera, cones):
  """Box [4] of the projected cones, x0, y0, x1, y1."""
  low, high = [], []
  for points, radius in (
    (cones.start, cones.radius[:, 0]),
    (cones.end, cones.radius[:, 1]),
  ):
    place, near = project(camera, points)
    reach = (near * radius)[:, None]
    low.append(jnp.min(place[:, :2] - reach, axis=0))
    high.append(jnp.max(place[:, :2] + reach, axis=0))
  return jnp.concatenate([jnp.minimum(*low), jnp.maximum(*high)])


def to_plane(camera, points):
  """Model coordinates (x, y) [..., 2] of the palm's plane z = 0 in the image.

  The inverse of `project` for that plane, from pixels [..., 2].
  """
  (a, b), (c, d) = camera.turn[:2, :2]
  adjugate = jnp.stack([jnp.stack([d, -b]), jnp.stack([-c, a])])
  points = (points - camera.center) / camera.scale
  points = points @ adjugate.T / (a * d - b * c)
  slope = camera.turn[2, :2] / camera.distance
  return points / (1 + points @ slope)[..., None]


def arm(camera, aim, begin):
  """Cones of the bare arm (2) and its sleeve (2), in pixels.

  Args:
    camera: `Camera`.
    aim: scalar, how far the arm leaves the hand's axis, in radians.
    begin: scalar, distance of the sleeve from the wrist in units.
  """
  wrist, _ = project(camera, jnp.asarray(pose.WRIST))
  down = camera.turn[:2, 1]
  down /= jnp.sqrt(jnp.sum(down**2) + 1e-12)
  c, s = jnp.cos(aim), jnp.sin(aim)
  down = jnp.stack([c * down[0] - s * down[1], s * down[0] + c * down[1]])
  side = jnp.stack([-down[1], down[0]])
  scale = camera.scale

  def point(along, across):
    place = scale * (along * down + across * side)
    return wrist + jnp.concatenate([place, jnp.zeros(1)])

  far = 30.0
  starts = [point(-0.1, -0.22), point(-0.1, 0.22)]
  ends = [point(far, -0.3), point(far, 0.3)]
  starts += [point(begin, -0.2), point(begin, 0.2)]
  ends += [point(far, -0.3), point(far, 0.3)]
  widths = [(0.46, 2.0)] * 2 + [(0.6, 2.2)] * 2
  return pose.Cones(
    jnp.stack(starts),
    jnp.stack(ends),
    scale * jnp.asarray(widths),
    jnp.tile(-camera.turn[:, 2], (pose.ARM, 1)),
  )


def to_pixels(camera, cones):
  """`pose.Cones` of the model as the camera sees them, in pixels."""
  start, near_start = project(camera, cones.start)
  end, near_end = project(camera, cones.end)
  near = jnp.stack([near_start, near_end], axis=-1)
  return pose.Cones(
    start, end, cones.radius * near, cones.dorsal @ camera.turn.T
  )


def place(camera, cones, i, count, hand_u, turn, size):
  """The camera with a scale and a centre that put a hand into the image.

  Args:
    camera: `Camera` of scale 1 and centre 0.
    cones: `pose.Cones` of the hand in the model.
    i: int scalar, number of the hand.
    count: int scalar, hands in the image.
    hand_u: [12] uniform draws of the hand.
    turn: uniform draw of the image.
    size: static int, side in pixels.
  """
  box = extent(camera, cones)
  lone = count <= 1
  side = jnp.where(lone, 0.2 + 0.72 * hand_u[6] ** 0.7, 0.18 + 0.36 * hand_u[6])
  scale = side * size / jnp.max(box[2:] - box[:2])
  half = 0.5 * scale / size * (box[2:] - box[:2])
  middle = 0.5 * scale * (box[2:] + box[:2])
  free = jnp.maximum(1 - 2 * half, 0.0)
  # Some hands leave the image a little.
  over = jnp.where(hand_u[7] < 0.2, 0.3, 0.0) * half
  alone = 0.5 + (hand_u[8:10] - 0.5) * (free + over)
  # Several share the image: each has a sector.
  around = 2 * jnp.pi * (turn + i / jnp.maximum(count, 1))
  sector = jnp.stack([jnp.cos(around), jnp.sin(around)])
  shared = 0.5 + 0.27 * sector + 0.08 * (hand_u[8:10] - 0.5)
  shared = jnp.clip(shared, half - 0.2 * half, 1 - half + 0.2 * half)
  center = size * jnp.where(lone, alone, shared) - middle
  return camera._replace(scale=scale, center=center)

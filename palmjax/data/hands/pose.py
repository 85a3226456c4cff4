"""Hands in three dimensions: gestures, joints and the cones around them.

A hand is a set of round cones, each between two points with a radius at
either. Frame of the model: the palm frame of a left palm that faces the camera,
x to the little finger, y to the wrist, z out of the palm; the valleys between
index and middle and between ring and little finger are at (∓½, 0, 0). Unit: the
distance d of these valleys, half a palm's width, about 42 mm.

A finger bends in one plane: with the cumulated flexion θ its bones point to
cos θ · axis + sin θ · z. The thumb's three bones reach for a target.

Proportions are rounded means of published hand anthropometry.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

GESTURES = (
  'zero',
  'one',
  'two',
  'three',
  'four',
  'five',
  'thumb_up',
  'ok',
  'fist',
  'pinch',
)
FINGERS = 4  # Index, middle, ring, little.
WRIST = (0.2, 2.3, 0.0)
VALLEYS = ((-0.5, 0.0, 0.0), (0.5, 0.0, 0.0))

UNIFORMS = {'pose': (4,)}
NORMALS = {'flex': (FINGERS, 3), 'pose': (13,)}

# Rows: index, middle, ring, little.
_KNUCKLES = ((-0.69, 0.42), (-0.23, 0.36), (0.28, 0.41), (0.74, 0.52))
_LENGTHS = (
  (0.93, 0.56, 0.40),
  (1.03, 0.66, 0.44),
  (0.97, 0.62, 0.44),
  (0.76, 0.44, 0.38),
)
_RADII = (
  (0.235, 0.212, 0.186, 0.150),
  (0.240, 0.218, 0.190, 0.155),
  (0.232, 0.208, 0.183, 0.150),
  (0.200, 0.178, 0.156, 0.130),
)
_REST = -0.10  # The valleys' line is not square to the fingers.
_FAN = (-0.22, -0.05, 0.11, 0.33)  # Angles of fully spread fingers.

_OPEN, _FOLDED = (0.06, 0.10, 0.06), (1.35, 1.75, 0.95)
_ROUND, _MEET = (0.80, 0.95, 0.60), (0.90, 1.00, 0.55)
# Fingers of a gesture; then the place of the thumb's tip, 1 where it meets the
# index finger instead, and how far the thumb's nail turns to the palm's side.
_FLEXIONS = {
  'zero': (_ROUND, _ROUND, _ROUND, _ROUND),
  'one': (_OPEN, _FOLDED, _FOLDED, _FOLDED),
  'two': (_OPEN, _OPEN, _FOLDED, _FOLDED),
  'three': (_OPEN, _OPEN, _OPEN, _FOLDED),
  'four': (_OPEN, _OPEN, _OPEN, _OPEN),
  'five': (_OPEN, _OPEN, _OPEN, _OPEN),
  'thumb_up': (_FOLDED, _FOLDED, _FOLDED, _FOLDED),
  'ok': (_MEET, _OPEN, _OPEN, _OPEN),
  'fist': (_FOLDED, _FOLDED, _FOLDED, _FOLDED),
  'pinch': (_MEET, _FOLDED, _FOLDED, _FOLDED),
}
_THUMBS = {
  'zero': (-0.60, 0.45, 1.40, 1, 0.5),
  'one': (-0.02, 0.85, 1.20, 0, 1.0),
  'two': (0.15, 0.85, 1.15, 0, 1.0),
  'three': (0.45, 0.85, 1.00, 0, 1.0),
  'four': (0.05, 0.90, 0.50, 0, 0.9),
  'five': (-1.80, 0.35, 0.30, 0, 0.0),
  'thumb_up': (-1.30, -0.20, 0.30, 0, 0.1),
  'ok': (-0.70, 0.45, 1.40, 1, 0.5),
  'fist': (-0.15, 0.80, 1.30, 0, 1.0),
  'pinch': (-0.70, 0.45, 1.40, 1, 0.5),
}
# 'three' with the thumb: index and middle finger open, the thumb away.
_THREE_FLEXIONS = (_OPEN, _OPEN, _FOLDED, _FOLDED)
_SADDLE = (-0.22, 1.85, 0.10)  # The thumb's root.
_THUMB_LENGTHS = (1.02, 0.74, 0.46)
_THUMB_RADII = (0.36, 0.255, 0.225, 0.175)

# Cones of the palm: ends x, y, z and radius. Four metacarpals, the hypothenar
# and the thenar pad.
_PALM = (
  ((-0.56, 0.43, 0.0, 0.40), (-0.10, 2.02, 0.0, 0.42)),
  ((-0.20, 0.38, 0.0, 0.39), (0.10, 2.02, 0.0, 0.42)),
  ((0.22, 0.41, 0.0, 0.39), (0.30, 2.02, 0.0, 0.42)),
  ((0.60, 0.50, 0.0, 0.37), (0.48, 2.02, 0.0, 0.42)),
  ((0.70, 0.85, 0.05, 0.32), (0.54, 1.85, 0.08, 0.36)),
  ((-0.55, 1.05, 0.08, 0.34), (-0.25, 1.80, 0.12, 0.38)),
)
# Kinds of the cones in order, and what is static of each.
PALM, THUMB, FINGER, ARM = 7, 3, 12, 4
COUNT = PALM + THUMB + FINGER + ARM
HAND = PALM + THUMB + FINGER  # These are the hand, the others arm and sleeve.


class Cones(NamedTuple):
  """N round cones; [N, ...].

  Attributes:
    start, end: [N, 3] points.
    radius: [N, 2] at either end.
    dorsal: [N, 3] unit vectors out of the back of the part.
  """

  start: jax.Array
  end: jax.Array
  radius: jax.Array
  dorsal: jax.Array


class PosedHand(NamedTuple):
  """A posed hand in the coordinates of the model.

  Attributes:
    cones: `Cones` of palm, thumb and fingers.
    palm_frame: [3, 3] the two valleys and the wrist.
    open: bool scalar, no finger hides a valley.
  """

  cones: Cones
  palm_frame: jax.Array
  open: jax.Array


def pose(gesture, u, z, flex):
  """Puts a hand into a gesture.

  Args:
    gesture: int scalar, index of `GESTURES`.
    u: [4] uniform draws.
    z: [13] normal draws.
    flex: [4, 3] normal draws.

  Returns:
    `PosedHand`.
  """
  flexions = jnp.asarray([_FLEXIONS[name] for name in GESTURES])[gesture]
  thumb = jnp.asarray([_THUMBS[name] for name in GESTURES])[gesture]
  with_thumb = (gesture == GESTURES.index('three')) & (u[0] < 0.6)
  flexions = jnp.where(with_thumb, jnp.asarray(_THREE_FLEXIONS), flexions)
  thumb = jnp.where(with_thumb, jnp.asarray(_THUMBS['five']), thumb)

  stout = jnp.exp(0.09 * z[0])
  long = jnp.exp(0.06 * z[1] + 0.03 * z[2:6])
  length = jnp.asarray(_LENGTHS) * long[:, None]
  radius = jnp.asarray(_RADII) * stout
  # Few people hold their fingers quite straight.
  lax = jnp.asarray([0.5, 0.8, 0.5]) * 0.45 * u[1] ** 2
  straight = flexions[:, :1] < 0.5
  flexions += jnp.where(straight, lax + 0.06 * flex, 0.1 * flex)
  spread = -0.15 + 1.3 * u[2]
  joints, dorsal = _fingers(flexions, length, spread, 0.05 * z[6:10])

  meet = joints[0, 3] + jnp.asarray([0.04, 0.2, -0.16])
  target = jnp.where(thumb[3] > 0, meet, thumb[:3])
  # An open thumb may also lie along the palm.
  near = (gesture == GESTURES.index('five')) | with_thumb
  closed = jnp.asarray([-1.15, 0.35, 0.35])
  target = jnp.where(near, target + u[3] ** 2 * (closed - target), target)
  target += 0.08 * (1 - thumb[3]) * z[10:13]
  thumb_joints, thumb_dorsal = _thumb(target, thumb[4])
  thumb_radius = jnp.asarray(_THUMB_RADII) * stout

  cones = _join_cones(
    joints, dorsal, radius, thumb_joints, thumb_dorsal, thumb_radius
  )
  palm_frame = jnp.asarray([*VALLEYS, WRIST])
  is_open = jnp.all(flexions[:, 0] < jnp.asarray([1.2, 0.6, 0.6, 0.6]))
  return PosedHand(cones, palm_frame, is_open)


def _fingers(flexions, length, spread, sway):
  """Joints [4, 4, 3] and the bones' dorsal vectors [4, 3, 3]."""
  angle = _REST + spread * jnp.asarray(_FAN) + sway
  zero = jnp.zeros_like(angle)
  axis = jnp.stack([jnp.sin(angle), -jnp.cos(angle), zero], axis=-1)[:, None]
  palm = jnp.asarray([0.0, 0.0, 1.0])
  bend = jnp.cumsum(flexions, axis=1)[..., None]
  direction = jnp.cos(bend) * axis + jnp.sin(bend) * palm
  dorsal = jnp.sin(bend) * axis - jnp.cos(bend) * palm
  root = jnp.pad(jnp.asarray(_KNUCKLES), ((0, 0), (0, 1)))[:, None]
  way = jnp.cumsum(length[..., None] * direction, axis=1)
  return jnp.concatenate([root, root + way], axis=1), dorsal


def _thumb(target, opposed):
  """Joints [4, 3] and dorsal vectors [3, 3] of a thumb that ends at target."""
  length = jnp.asarray(_THUMB_LENGTHS)[:, None]
  root = jnp.asarray(_SADDLE)
  away = jnp.asarray([-0.62, -0.72, 0.30])
  toward = _unit(target - root)
  share = jnp.asarray([[0.55], [0.2], [0.0]])

  def step(_, direction):
    miss = target - root - jnp.sum(length * direction, axis=0)
    return _unit(direction + 0.45 * miss)

  direction = _unit(toward + share * (away - toward))
  direction = jax.lax.fori_loop(0, 8, step, direction)
  joints = jnp.concatenate(
    [root[None], root + jnp.cumsum(length * direction, axis=0)]
  )
  hint = (1 - opposed) * jnp.asarray([-0.55, -0.1, -0.85])
  hint += opposed * jnp.asarray([-0.45, -0.2, 0.9])
  along = jnp.sum(hint * direction, axis=-1, keepdims=True)
  return joints, _unit(hint - along * direction)


def _join_cones(joints, dorsal, radius, thumb, thumb_dorsal, thumb_radius):
  """`Cones` [HAND]."""
  table = jnp.asarray(_PALM)
  # Skin spans from the thumb to the index finger.
  web = thumb[0] + 0.72 * (thumb[1] - thumb[0])
  back = jnp.broadcast_to(jnp.asarray([0.0, 0.0, -1.0]), (PALM, 3))
  return Cones(
    start=jnp.concatenate(
      [
        table[:, 0, :3],
        jnp.asarray([[-0.62, 1.0, 0.0]]),
        thumb[:3],
        joints[:, :3].reshape(FINGER, 3),
      ]
    ),
    end=jnp.concatenate(
      [
        table[:, 1, :3],
        web[None],
        thumb[1:],
        joints[:, 1:].reshape(FINGER, 3),
      ]
    ),
    radius=jnp.concatenate(
      [
        table[:, :, 3],
        jnp.asarray([[0.26, 0.25]]),
        jnp.stack([thumb_radius[:3], thumb_radius[1:]], axis=-1),
        jnp.stack([radius[:, :3], radius[:, 1:]], axis=-1).reshape(FINGER, 2),
      ]
    ),
    dorsal=jnp.concatenate([back, thumb_dorsal, dorsal.reshape(FINGER, 3)]),
  )


def _unit(vectors):
  squared = jnp.sum(vectors**2, axis=-1, keepdims=True)
  return vectors / jnp.sqrt(squared + 1e-12)

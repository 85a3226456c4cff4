"""Labels of drawn hands: boxes, gestures, palm frames.

A hand's box is tight around the pixels that show it, from the fingertips to the
crease of the wrist. What part of a hand is seen is estimated at points spread
along all its cones; a hand that hides itself is seen.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from palmjax.data.hands import camera as hand_camera
from palmjax.data.hands import pose

VISIBLE = 0.4  # Less of a hand than this is not annotated.
UPRIGHT = 0.6  # Cosine of tilt below which a palm has no palm frame.


class Hands(NamedTuple):
  """Hands of an image; [N, ...].

  Attributes:
    gesture: index of `pose.GESTURES`.
    left: bool.
    facing: bool, the palm faces the camera.
    hand: `pose.PosedHand` of the model.
    camera: `camera.Camera`.
    cones: `pose.Cones` in pixels, with the arm's.
  """

  gesture: jax.Array
  left: jax.Array
  facing: jax.Array
  hand: pose.PosedHand
  camera: hand_camera.Camera
  cones: pose.Cones


def annotate(owner, i, hand):
  """Annotation of hand i: box, gesture, palm frame.

  Args:
    owner: int [S, S], the hand that a pixel shows, or −1.
    i: int scalar.
    hand: `Hands` of this one.

  Returns:
    dict of boxes [4], classes [], valid [], points [3, 2], framed [],
    facing [] and left [].
  """
  size = owner.shape[0]
  mask = owner == i
  columns, rows = jnp.any(mask, axis=0), jnp.any(mask, axis=1)

  def ends(line):
    return jnp.argmax(line), size - jnp.argmax(line[::-1])

  (x0, x1), (y0, y1) = ends(columns), ends(rows)
  points = hand_camera.project(hand.camera, hand.hand.palm_frame)[0][:, :2]
  # Points all over the hand: what part of them is seen?
  cones = jax.tree.map(lambda x: x[: pose.HAND], hand.cones)
  share = jnp.linspace(0, 1, 5)[:, None, None]
  probes = cones.start + share * (cones.end - cones.start)
  column, row = jnp.floor(probes.reshape(-1, 3)[:, :2]).astype(jnp.int32).T
  within = (column >= 0) & (column < size) & (row >= 0) & (row < size)
  seen = mask[jnp.clip(row, 0, size - 1), jnp.clip(column, 0, size - 1)]
  visible = jnp.mean(within & seen)
  upright = jnp.abs(hand.camera.turn[2, 2]) > UPRIGHT
  framed = jnp.all((points > 0) & (points < size)) & upright
  return {
    'boxes': jnp.stack([x0, y0, x1, y1]).astype(jnp.float32),
    'classes': hand.gesture,
    'valid': visible >= VISIBLE,
    'points': points,
    'framed': framed & hand.hand.open,
    'facing': hand.facing,
    'left': hand.left,
  }


def arrange(notes):
  """A dict of `annotate` [N, ...] with the valid rows first, the others 0."""
  order = jnp.argsort(~notes['valid'], stable=True)
  valid = notes['valid'][order]

  def keep(x):
    mask = valid.reshape(-1, *[1] * (x.ndim - 1))
    return jnp.where(mask, x[order], jnp.zeros((), x.dtype))

  return {name: keep(x) for name, x in notes.items()}

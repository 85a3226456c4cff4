"""Procedural hands: an annotated image is a pure function of (key, number).

number → up to three hands (`pose`), drawn as height fields (`render`), with the
skin of a palm identity (`skin`), in a cluttered room (`scene`), through the
camera of drawn palms (`data.palms.camera`).

The palm of a hand is the palm that `palms.draw` draws with the same key and
identity; as there, even identities are left, odd ones right hands.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from palmjax.data import draws
from palmjax.data.hands import camera as hand_camera
from palmjax.data.hands import labels as hand_labels
from palmjax.data.hands import pose, render, scene
from palmjax.data.hands import skin as hand_skin
from palmjax.data.palms import camera as palm_camera
from palmjax.data.palms import random as palm_random
from palmjax.data.palms import render as palm_render
from palmjax.ops import blur, pixels

GESTURES = pose.GESTURES
HANDS = 3  # Room for hands in an image.
IDENTITIES = 1 << 20  # Identities that hands are drawn from.
COUNT_ODDS = (0.08, 0.62, 0.2, 0.1)  # Of 0, 1, 2 and 3 hands.
WRIST_CREASE = 2.4  # Where the hand's box ends, in units of the palm frame.

_STREAM = 3  # After those of `palms`.
_UNIFORMS = {
  'count': (2,),
  'hand': (HANDS, 12),
  **{k: (HANDS, *v) for k, v in pose.UNIFORMS.items()},
  **{k: (HANDS, *v) for k, v in hand_skin.UNIFORMS.items()},
  **scene.UNIFORMS,
}
_NORMALS = {
  'place': (HANDS, 4),
  **{k: (HANDS, *v) for k, v in pose.NORMALS.items()},
  **{k: (HANDS, *v) for k, v in hand_skin.NORMALS.items()},
  **scene.NORMALS,
  'light': (16,),
  'camera': (2, 9),
}


class _Pins(NamedTuple):
  """What the caller wants; −1 or NaN where chance decides: one program."""

  count: jax.Array
  gesture: jax.Array
  facing: jax.Array
  angle: jax.Array
  identity: jax.Array


def _pins(count, gesture, facing, angle, identity):
  def whole(pin):
    return jnp.asarray(-1 if pin is None else pin, jnp.int32)

  angle = jnp.asarray(jnp.nan if angle is None else angle, jnp.float32)
  return _Pins(
    whole(count), whole(gesture), whole(facing), angle, whole(identity)
  )


def _draw(key, number, difficulty, pins, size):
  stream = jax.random.fold_in(jax.random.fold_in(key, _STREAM), number)
  block_key, noise_key = jax.random.split(stream)
  u, z = palm_random.blocks(block_key, _UNIFORMS, _NORMALS)
  odds = jnp.cumsum(jnp.asarray(COUNT_ODDS))[:-1]
  count = jnp.searchsorted(odds, u['count'][0], side='right')
  count = jnp.where(pins.count < 0, count.astype(jnp.int32), pins.count)
  hands, skins = _pose_hands(key, u, z, difficulty, count, pins, size)

  fields = scene.textures(u['waves'], z['waves'], size=size)
  image = scene.room(u['room'], z['room'], fields)
  many, bodies, covers = u['counts'][:3]
  clutter = 0.3 + 0.7 * difficulty
  many = jnp.floor(scene.THINGS * clutter * many + 0.5)
  bodies = jnp.floor(jnp.maximum(5 * bodies - 2.5, 0) * clutter + 0.5)
  add = functools.partial(
    scene.add_things, u=u['things'], z=z['things'], fields=fields
  )
  # Of the things that come before those of skin, the last ones are drawn.
  first = scene.THINGS - many.astype(jnp.int32)
  behind = many.astype(jnp.int32) + bodies.astype(jnp.int32)
  image, _ = add(image, count=behind, first=first)
  image, owner = _add_hands(image, hands, skins, count, u, z, fields, size)
  before = jnp.sum(covers < difficulty * jnp.asarray([0.35, 0.1]))
  first = scene.THINGS + scene.SKINS
  image, covered = add(image, count=before, first=first)
  owner = jnp.where(covered > 0.5, -1, owner)

  image = _photograph(image, z, u['counts'][3], noise_key, difficulty)
  notes = jax.lax.map(
    lambda row: hand_labels.annotate(owner, *row), (jnp.arange(HANDS), hands)
  )
  notes['valid'] &= jnp.arange(HANDS) < count
  return {'image': pixels.to_uint8(image), **hand_labels.arrange(notes)}


def _pose_hands(key, u, z, difficulty, count, pins, size):
  pose_u, pose_z = u['pose'], z['pose']
  hand_u = u['hand']

  def one(rows):
    i, hand_u, place, pose_u, pose_z, flex = rows
    which = jnp.floor(hand_u[0] * len(GESTURES)).astype(jnp.int32)
    which = jnp.where(pins.gesture < 0, which, pins.gesture)
    who = jnp.floor(hand_u[1] * IDENTITIES).astype(jnp.int32)
    who = jnp.where(pins.identity < 0, who, pins.identity)
    front = jnp.where(pins.facing < 0, hand_u[2] < 0.55, pins.facing > 0)
    around = jnp.where(
      hand_u[3] < 0.5, 2 * jnp.pi * (hand_u[4] - 0.5), 0.5 * place[0]
    )
    around = jnp.where(jnp.isnan(pins.angle), around, pins.angle)
    left = who % 2 == 0
    hand = pose.pose(which, pose_u, pose_z, flex)
    tilt = (0.1 + 0.3 * difficulty) * place[1:3]
    camera = hand_camera.Camera(
      hand_camera.turn(around, tilt, left, front),
      9 + 14 * hand_u[5],
      jnp.ones(()),
      jnp.zeros(2),
    )
    camera = hand_camera.place(
      camera, hand.cones, i, count, hand_u, u['count'][1], size
    )
    cones = hand_camera.to_pixels(camera, hand.cones)
    begin = jnp.where(hand_u[10] < 0.7, 0.1 + 3.4 * hand_u[11] ** 1.5, 60.0)
    arm = hand_camera.arm(camera, 0.2 * place[3], begin)
    cones = jax.tree.map(lambda *x: jnp.concatenate(x), cones, arm)
    posed = hand_labels.Hands(which, left, front, hand, camera, cones)
    return posed, hand_skin.identity_draws(key, who)

  # A loop, not vmap: XLA would fuse all of this into each of its uses, and be
  # long about it.
  return jax.lax.map(
    one, (jnp.arange(HANDS), hand_u, z['place'], pose_u, pose_z, z['flex'])
  )


def _add_hands(image, hands, skins, count, u, z, fields, size):
  """Draws hands one over another; also the owner [S, S] of each pixel or −1."""
  grid = palm_render.pixel_grid(size) * size

  def add(i, state):
    image, owner = state
    hand, skin = jax.tree.map(lambda x: x[i], (hands, skins))
    surface = render.surface(hand.cones, hand.camera.scale, size=size)
    relief, base = hand_skin.texture(*skin, size=max(32, 3 * size // 8))
    color = hand_skin.shade(
      surface,
      hand.camera,
      relief,
      base,
      hand.facing,
      fields[1],
      u['skin'][i],
      z['skin'][i],
    )
    alpha = jnp.clip(0.5 - surface.distance, 0, 1)
    shadow = hand_skin.cast_shadow(alpha, hand.camera.scale, u['skin'][i])
    alpha = alpha[..., None]
    image = image * (1 - shadow[..., None])
    inside = surface.distance < 0
    wrist = hand_camera.to_plane(hand.camera, grid)[..., 1] < WRIST_CREASE
    owner = jnp.where(inside, jnp.where(wrist, i, -1), owner)
    return image + alpha * (color - image), owner

  owner = jnp.full((size, size), -1, jnp.int32)
  return jax.lax.fori_loop(0, count, add, (image, owner))


def _photograph(image, z, blurred, noise_key, difficulty):
  light, camera = z['light'], z['camera']
  flat = jnp.ones(image.shape[:2])
  image = palm_camera.illuminate(
    image, flat, light, 0 * flat, difficulty=difficulty
  )
  size = image.shape[0] / 224
  soft = size * (0.3 + difficulty * 2.2 * jnp.maximum(blurred - 0.7, 0.0) / 0.3)
  image = blur.gaussian(image[None], soft, border='inside')[0]
  return palm_camera.develop(
    image, camera[0], camera[1], noise_key, difficulty=difficulty
  )


@functools.partial(jax.jit, static_argnames=('size', 'block'))
def _draw_many(shared, rows, size, block):
  key, difficulty = shared

  def one(row):
    number, pins = row
    return _draw(key, number, difficulty, pins, size)

  with jax.default_matmul_precision('highest'):
    return draws.map_rows(one, rows, block=block)


def draw_batch(
  key,
  numbers,
  *,
  size,
  difficulty=0.5,
  count=None,
  gesture=None,
  facing=None,
  angle=None,
  identity=None,
):
  """Draws a batch of images; compiled for each size and B (`data.draws`).

  Args:
    key: root random key.
    numbers: int [B] >= 0, which images.
    size: int, side S in pixels.
    difficulty: scalar in [0, 1]: clutter, tilt, light, blur.
    count: int scalar or [B] in [0, 3], hands to draw; default at random.
    gesture: int scalar or [B], index of `GESTURES`, of all hands of an image;
      default at random.
    facing: bool scalar or [B], the palm faces the camera; default at random.
    angle: scalar or [B], radians clockwise from fingers up; default at random.
    identity: int scalar or [B], whose hands; default at random.

  Returns:
    dict of image uint8 [B, S, S, 3]; boxes float32 [B, 3, 4], tight around what
    is seen of a hand from the fingertips to the crease of the wrist; classes
    int32 [B, 3]; valid bool [B, 3]; points float32 [B, 3, 3, 2], the valleys
    index–middle and ring–little and the wrist; framed bool [B, 3], the points
    are known; facing bool [B, 3]; left bool [B, 3]. Coordinates are pixels. A
    hand of which less than the share `labels.VISIBLE` is seen is not valid.
    Valid rows come first, the others are 0.

  Raises:
    ValueError: `difficulty` is outside [0, 1], `size` below 32, `count` outside
      [0, 3], or `gesture` no index of `GESTURES`.
  """
  if size < 32:
    raise ValueError(f'size is {size}; hands need at least 32 pixels a side')
  if not 0 <= difficulty <= 1:
    raise ValueError(f'difficulty is {difficulty}; it must be within [0, 1]')
  numbers = jnp.asarray(numbers, jnp.int32)
  for name, pin, top in (
    ('count', count, HANDS),
    ('gesture', gesture, len(GESTURES) - 1),
  ):
    if pin is not None and not np.all((np.asarray(pin) >= 0) & (pin <= top)):
      raise ValueError(f'{name} is {pin}; it must be within [0, {top}]')
  pins = _pins(count, gesture, facing, angle, identity)
  pins = jax.tree.map(lambda pin: jnp.broadcast_to(pin, numbers.shape), pins)
  difficulty = jnp.asarray(difficulty, jnp.float32)
  return draws.on_all_cores(
    functools.partial(_draw_many, size=size, block=draws.block_size(size)),
    (key, difficulty),
    (numbers, pins),
  )

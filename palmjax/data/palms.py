"""Procedural palms: a picture is a pure function of (key, identity, sample).

identity → creases (`palm_lines`), skin (`palm_skin`); sample → pose
(`palm_pose`), light and camera (`palm_camera`); both → pixels (`palm_render`).

Identities 2p and 2p + 1 are the left and the right palm of person p. They share
skin, not lines, and the right one is mirrored. Samples belong to sessions,
which share part of their pose, light and skin state, and to devices, which
share camera character across all identities.

Provenance: the ranges of the principal lines are rounded percentiles of the
hand-traced lines published with Diff-Palm (PolyCreases, Apache-2.0). No code
and no picture of any data set is used.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from palmjax.data import palm_camera
from palmjax.data import palm_lines
from palmjax.data import palm_pose
from palmjax.data import palm_render
from palmjax.data import palm_skin

SAMPLES_PER_SESSION = 4
DEVICES = 4

# Streams of the root key.
_PERSON, _IDENTITY, _DEVICE = range(3)
# Streams of an identity's key.
_LINES, _TEXTURE, _MOUNDS, _SESSION, _SAMPLE = range(5)


class Latents(NamedTuple):
  """Standard normals, cut to [-2, 2], that make one sample differ.

  Attributes are arrays of the sizes in `_SIZES`; `strokes` is the visibility of
  each crease.
  """

  warp: jax.Array
  place: jax.Array
  light: jax.Array
  camera: jax.Array
  shadow: jax.Array
  occluder: jax.Array
  skin: jax.Array
  strokes: jax.Array


_STROKES = (
  palm_lines.PRINCIPAL * palm_lines.STRANDS
  + palm_lines.SECONDARY
  + palm_lines.BUNDLES * palm_lines.BUNDLE_STROKES
  + palm_lines.SINGLES
)
_SIZES = Latents(16, 8, 24, 9, 4, 7, 4, _STROKES)
# Share of the variance that samples of one session have in common.
_SHARED = Latents(0.4, 0.4, 0.7, 0.4, 0.0, 0.0, 0.7, 0.5)


def session_of(sample):
  """The session that a sample belongs to unless the caller says otherwise."""
  return sample // SAMPLES_PER_SESSION


def device_of(session):
  """The device of a session unless the caller says otherwise."""
  return session % DEVICES


def latents(identity_key, sample, session):
  """Draws `Latents`: a part of the session and a part of the sample."""
  total = sum(_SIZES)

  def normal(stream, number):
    key = jax.random.fold_in(identity_key, stream)
    return jax.random.truncated_normal(
      jax.random.fold_in(key, number), -2.0, 2.0, (total,)
    )

  sizes = np.asarray(_SIZES)
  shared = jnp.asarray(np.repeat(np.asarray(_SHARED), sizes))
  mixed = jnp.sqrt(shared) * normal(_SESSION, session)
  mixed += jnp.sqrt(1 - shared) * normal(_SAMPLE, sample)
  parts = jnp.split(jnp.clip(mixed, -2.0, 2.0), np.cumsum(sizes)[:-1])
  return Latents(*parts)


def draw(
  key, identity, sample, *, size, difficulty=0.5, session=None, device=None
):
  """Draws one palm.

  Args:
    key: root random key; the same for a whole data set.
    identity: int scalar >= 0; even left, odd right palm of a person.
    sample: int scalar >= 0.
    size: static int, side in pixels.
    difficulty: scalar in [0, 1]: how much samples of an identity differ.
    session: int scalar; default `session_of(sample)`.
    device: int scalar; default `device_of(session)`.

  Returns:
    float32 [size, size, 3] in [-1, 1].
  """
  session = session_of(sample) if session is None else session
  device = device_of(session) if device is None else device
  difficulty = jnp.asarray(difficulty, jnp.float32)
  person_key, identity_key, device_key = (
    jax.random.fold_in(jax.random.fold_in(key, stream), number)
    for stream, number in (
      (_PERSON, identity // 2),
      (_IDENTITY, identity),
      (_DEVICE, device),
    )
  )
  person = palm_skin.person(person_key)
  z = latents(identity_key, sample, session)
  gear = jax.random.truncated_normal(device_key, -2.0, 2.0, (9,))
  pose = palm_pose.pose(z.warp, z.place, identity % 2, difficulty)
  soft = 0.25 + difficulty * (
    0.45 * jnp.abs(z.camera[8]) + 0.45 * jnp.abs(gear[8])
  )
  blur = soft / 128

  creases = _draw_creases(identity_key, z, pose, person, difficulty, size, blur)
  fine, coarse = (
    palm_skin.splat(kernels, pose, size=size, blur=blur)
    for kernels in palm_skin.texture_kernels(
      jax.random.fold_in(identity_key, _TEXTURE)
    )
  )
  palm_grid = palm_pose.to_palm(pose, palm_render.pixel_grid(size))
  height = palm_skin.mounds(
    jax.random.fold_in(identity_key, _MOUNDS), palm_grid
  )
  valley = 1 - jnp.exp(-creases)
  along_x, along_y = palm_render.slopes(
    0.11 * height - 0.0035 * valley - 0.0007 * fine
  )
  direction = difficulty * z.light[14:16]
  shading = 1 + 0.25 * (
    (0.3 + direction[0]) * along_x + (0.5 + direction[1]) * along_y
  )
  reflectance = jnp.exp(
    -palm_skin.absorbance(
      person, creases, coarse, fine, 0.12 * difficulty * z.skin[0]
    )
  )
  gloss = (0.4 + 0.6 * person.gloss) * (1 - 0.6 * valley) * (1 + 0.15 * fine)
  image = palm_camera.illuminate(
    reflectance,
    jnp.clip(shading, 0.3, 1.7),
    z.light,
    gloss,
    difficulty=difficulty,
  )
  image = palm_camera.cover(image, z.shadow, z.occluder, difficulty=difficulty)
  noise_key = jax.random.fold_in(
    jax.random.fold_in(jax.random.fold_in(identity_key, _SAMPLE), sample), 1
  )
  return palm_camera.develop(
    image, z.camera, gear, noise_key, difficulty=difficulty
  )


def _draw_creases(identity_key, z, pose, person, difficulty, size, blur):
  """Absorbance [size, size] of all creases in their visible state."""
  groups = palm_lines.identity_strokes(
    jax.random.fold_in(identity_key, _LINES), person.wear
  )
  counts = [group.depth.shape[0] for group in groups]
  seen = jnp.split(z.strokes, np.cumsum(counts)[:-1])
  # The longest stroke of each group, in sides, sets its points: neighbours
  # about two standard deviations apart sum to a smooth line.
  reach = (1.2, 0.6, 0.75, 0.4)
  image = 0.0
  traced = []
  for group, visible, longest in zip(groups, seen, reach, strict=True):
    count = max(8, int(np.ceil(longest * size / 1.3)))
    points, depth, width = palm_lines.trace(group, count)
    state = jnp.exp(difficulty * (0.28 * visible - 0.1 + 0.25 * z.skin[1]))
    traced.append((points, depth * state[:, None], width))
  for points, depth, width in traced:
    image += palm_render.splat_lines(
      palm_pose.to_image(pose, points), depth, width, size=size, blur=blur
    )
  return image


@functools.partial(jax.jit, static_argnames='size')
def _draw_many(key, identities, samples, sessions, devices, difficulty, size):
  def one(numbers):
    identity, sample, session, device = numbers
    image = draw(
      key,
      identity,
      sample,
      size=size,
      difficulty=difficulty,
      session=session,
      device=device,
    )
    return jnp.round(image * 127.5 + 127.5).astype(jnp.uint8)

  return jax.lax.map(one, (identities, samples, sessions, devices))


def draw_batch(
  key, identities, samples, *, size, difficulty=0.5, sessions=None, devices=None
):
  """Draws a batch of palms; compiled once for each size and batch size.

  Args:
    key: root random key.
    identities: int [B].
    samples: int [B].
    size: int, side in pixels.
    difficulty: scalar in [0, 1].
    sessions: int [B]; default `session_of(samples)`.
    devices: int [B]; default `device_of(sessions)`.

  Returns:
    uint8 [B, size, size, 3].
  """
  identities, samples = jnp.asarray(identities), jnp.asarray(samples)
  sessions = session_of(samples) if sessions is None else jnp.asarray(sessions)
  devices = device_of(sessions) if devices is None else jnp.asarray(devices)
  return _draw_many(
    key, identities, samples, sessions, devices, difficulty, size
  )

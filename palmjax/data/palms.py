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

import jax
import jax.numpy as jnp
import numpy as np

from palmjax.data import palm_camera
from palmjax.data import palm_lines
from palmjax.data import palm_pose
from palmjax.data import palm_random
from palmjax.data import palm_render
from palmjax.data import palm_skin

SAMPLES_PER_SESSION = 4
DEVICES = 4

# Streams of the root key.
_PERSON, _IDENTITY, _DEVICE = range(3)
# Streams of an identity's key.
_PALM, _SESSION, _SAMPLE = range(3)

_UNIFORMS = {**palm_lines.UNIFORMS, **palm_skin.UNIFORMS}
_NORMALS = {**palm_lines.NORMALS, **palm_skin.NORMALS}

_CREASES = (
  palm_lines.PRINCIPAL * palm_lines.STRANDS,
  palm_lines.SECONDARY,
  palm_lines.BUNDLES * palm_lines.BUNDLE_STROKES,
  palm_lines.SINGLES,
)
# Standard normals that make one sample differ, by name.
_LATENTS = {
  'warp': (16,),
  'place': (8,),
  'light': (16,),
  'camera': (9,),
  'skin': (2,),
  'visible': (sum(_CREASES),),
  'shadow': (4,),
  'occluder': (7,),
  **palm_lines.SPURIOUS_NORMALS,
  'spurious_u': palm_lines.SPURIOUS_UNIFORMS['spurious'],
}
# Share of the variance that the samples of one session have in common.
_SHARED = {
  'warp': 0.4,
  'place': 0.4,
  'light': 0.7,
  'camera': 0.4,
  'skin': 0.7,
  'visible': 0.5,
}


def session_of(sample):
  """The session that a sample belongs to unless the caller says otherwise."""
  return sample // SAMPLES_PER_SESSION


def device_of(session):
  """The device of a session unless the caller says otherwise."""
  return session % DEVICES


def latents(session_key, sample_key):
  """What differs between samples: a part of the session, a part of its own.

  Returns:
    dict of normal draws within ±2, shapes `_LATENTS`.
  """
  keys = jnp.stack([session_key, sample_key])
  total = palm_random.count(_LATENTS)
  both = jax.vmap(
    lambda key: jax.random.truncated_normal(key, -2.0, 2.0, (total,))
  )(keys)
  shared = jnp.asarray(
    np.concatenate(
      [
        np.full(np.prod(shape), _SHARED.get(name, 0.0), np.float32)
        for name, shape in _LATENTS.items()
      ]
    )
  )
  mixed = jnp.sqrt(shared) * both[0] + jnp.sqrt(1 - shared) * both[1]
  return palm_random.cut(jnp.clip(mixed, -2.0, 2.0), _LATENTS)


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
  streams = palm_random.folds(key, (_PERSON, _IDENTITY, _DEVICE))
  person_key, identity_key, device_key = palm_random.folds(
    streams, jnp.stack([identity // 2, identity, device])
  )
  palm_key, session_key, sample_key = palm_random.folds(
    palm_random.folds(
      identity_key, (_PALM, _SESSION, _SAMPLE)
    ),
    jnp.stack([jnp.zeros_like(sample), session, sample]),
  )
  sample_key, noise_key = jax.random.split(sample_key)
  common = jax.vmap(lambda key: jax.random.uniform(key, (9,)))(
    jnp.stack([person_key, device_key])
  )
  person = palm_skin.person(common[0, :4])
  gear = 3.4 * (common[1] - 0.5)
  uniforms, normals = palm_random.blocks(palm_key, _UNIFORMS, _NORMALS)
  z = latents(session_key, sample_key)

  pose = palm_pose.pose(z['warp'], z['place'], identity % 2, difficulty)
  soft = jnp.abs(z['camera'][8]) + jnp.abs(gear[8])
  blur = (0.25 + 0.4 * difficulty * soft) / 128

  creases = _draw_creases(
    uniforms, normals, z, person.wear, pose, difficulty, size, blur
  )
  fine, coarse = (
    palm_skin.splat(kernels, pose, size=size, blur=blur)
    for kernels in palm_skin.texture_kernels(uniforms, normals)
  )
  palm_grid = palm_pose.to_palm(pose, palm_render.pixel_grid(size))
  height = palm_skin.mounds(normals['mounds'], palm_grid)
  valley = 1 - jnp.exp(-creases)
  along_x, along_y = palm_render.slopes(
    0.11 * height - 0.0035 * valley - 0.0007 * fine
  )
  direction = difficulty * z['light'][14:]
  shading = 1 + 0.25 * (
    (0.3 + direction[0]) * along_x + (0.5 + direction[1]) * along_y
  )
  reflectance = jnp.exp(
    -palm_skin.absorbance(
      person, creases, coarse, fine, 0.12 * difficulty * z['skin'][0]
    )
  )
  gloss = (0.4 + 0.6 * person.gloss) * (1 - 0.6 * valley) * (1 + 0.15 * fine)
  image = palm_camera.illuminate(
    reflectance,
    jnp.clip(shading, 0.3, 1.7),
    z['light'],
    gloss,
    difficulty=difficulty,
  )
  image = palm_camera.cover(
    image, z['shadow'], z['occluder'], difficulty=difficulty
  )
  return palm_camera.develop(
    image, z['camera'], gear, noise_key, difficulty=difficulty
  )


def _draw_creases(uniforms, normals, z, wear, pose, difficulty, size, blur):
  """Absorbance [size, size] of all creases as this sample shows them."""
  own = palm_lines.identity_strokes(uniforms, normals, wear)
  spurious = palm_lines.single_strokes(
    jax.scipy.stats.norm.cdf(z['spurious_u']), z['spurious'], 0.4
  )
  seen = jnp.split(z['visible'], np.cumsum(_CREASES)[:-1])
  # Dryness moves all creases, visibility each; some are not seen at all.
  states = [
    jnp.exp(difficulty * (0.28 * visible - 0.1 + 0.25 * z['skin'][1]))
    * jnp.where((visible < -1.5) & (i > 0), 1 - difficulty, 1.0)
    for i, visible in enumerate(seen)
  ]
  states.append(difficulty * (z['spurious'][:, 0] > 0.3))
  # The longest stroke of each group, in sides, sets its number of points.
  reach = (1.2, 0.6, 0.85, 0.42, 0.42)
  traced = []
  for group, state, longest in zip(
    (*own, spurious), states, reach, strict=True
  ):
    count = max(8, int(np.ceil(longest * size / 1.2)))
    points, depth, width = palm_lines.trace(group, count)
    points = palm_pose.to_image(pose, points)
    step = jnp.linalg.norm(points[:, 1:] - points[:, :-1], axis=-1)
    step = jnp.concatenate([step, step[:, -1:]], axis=1)
    depth = depth * state[:, None] * step
    traced.append((points.reshape(-1, 2), depth.reshape(-1), width.reshape(-1)))
  points, depth, width = (
    jnp.concatenate(parts) for parts in zip(*traced, strict=True)
  )
  return palm_render.splat_lines(points, depth, width, size=size, blur=blur)


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

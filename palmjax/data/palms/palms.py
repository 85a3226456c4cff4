"""Procedural palms: a picture is a pure function of (key, identity, sample).

identity → creases (`lines`, `curves`), skin (`skin`); sample → latents
(`latents`) → pose (`pose`), light and camera (`camera`); all → pixels
(`render`).

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

from palmjax.data import draws
from palmjax.data.palms import camera, curves, latents, lines, render, skin
from palmjax.data.palms import pose as palm_pose
from palmjax.data.palms import random as palm_random
from palmjax.ops import pixels

SAMPLES_PER_SESSION = 4
DEVICES = 4
POINTS = 80  # Points of creases for each pixel of the side.

# Streams of the root key.
PERSON, IDENTITY, DEVICE = range(3)
# Streams of an identity's key.
PALM, SESSION, SAMPLE = range(3)

UNIFORMS = {**lines.UNIFORMS, **skin.UNIFORMS}
NORMALS = {**lines.NORMALS, **skin.NORMALS}


def session_of(sample):
  """The session that a sample belongs to unless the caller says otherwise."""
  return sample // SAMPLES_PER_SESSION


def device_of(session):
  """The device of a session unless the caller says otherwise."""
  return session % DEVICES


def draw(
  key, identity, sample, *, size, difficulty=0.5, session=None, device=None
):
  """Draws one palm.

  Args:
    key: root random key; the same for a whole data set.
    identity: int scalar >= 0; even left, odd right palm of a person.
    sample: int scalar >= 0.
    size: static int, side in pixels.
    difficulty: scalar in [0, 1]: how much samples of an identity differ; may
      be traced.
    session: int scalar; default `session_of(sample)`.
    device: int scalar; default `device_of(session)`.

  Returns:
    float32 [size, size, 3] in [-1, 1].

  Raises:
    ValueError: `size` is below 16.
  """
  if size < 16:
    raise ValueError(f'size is {size}; a palm needs at least 16 pixels a side')
  session = session_of(sample) if session is None else session
  device = device_of(session) if device is None else device
  difficulty = jnp.asarray(difficulty, jnp.float32)
  # TF32 or bfloat16 products would draw other pictures on other devices.
  with jax.default_matmul_precision('highest'):
    return _draw(key, identity, sample, session, device, difficulty, size)


def _draw(key, identity, sample, session, device, difficulty, size):
  """`draw` with everything given."""
  streams = palm_random.folds(key, (PERSON, IDENTITY, DEVICE))
  person_key, identity_key, device_key = palm_random.folds(
    streams, jnp.stack([identity // 2, identity, device])
  )
  palm_key, session_key, sample_key = palm_random.folds(
    palm_random.folds(identity_key, (PALM, SESSION, SAMPLE)),
    jnp.stack([jnp.zeros_like(sample), session, sample]),
  )
  sample_key, noise_key = jax.random.split(sample_key)
  common = jax.vmap(lambda key: jax.random.uniform(key, (9,)))(
    jnp.stack([person_key, device_key])
  )
  person = skin.person(common[0, :4])
  gear = 3.4 * (common[1] - 0.5)
  uniforms, normals = palm_random.blocks(palm_key, UNIFORMS, NORMALS)
  z = latents.draw(session_key, sample_key)

  pose = palm_pose.pose(z['warp'], z['place'], identity % 2, difficulty)
  soft = jnp.abs(z['camera'][8]) + jnp.abs(gear[8])
  blur = (0.25 + 0.4 * difficulty * soft) / 128

  creases = _draw_creases(
    uniforms, normals, z, person.wear, pose, difficulty, size, blur
  )
  fine, coarse = (
    skin.splat(kernels, pose, size=size, blur=blur)
    for kernels in skin.texture_kernels(uniforms, normals)
  )
  palm_grid = palm_pose.to_palm(pose, render.pixel_grid(size))
  height = skin.mounds(normals['mounds'], palm_grid)
  valley = 1 - jnp.exp(-creases)
  along_x, along_y = render.slopes(
    0.11 * height - 0.0035 * valley - 0.0007 * fine
  )
  direction = difficulty * z['light'][14:]
  shading = 1 + 0.25 * (
    (0.3 + direction[0]) * along_x + (0.5 + direction[1]) * along_y
  )
  reflectance = jnp.exp(
    -skin.absorbance(
      person, creases, coarse, fine, 0.12 * difficulty * z['skin'][0]
    )
  )
  gloss = (0.4 + 0.6 * person.gloss) * (1 - 0.6 * valley) * (1 + 0.15 * fine)
  image = camera.illuminate(
    reflectance,
    jnp.clip(shading, 0.3, 1.7),
    z['light'],
    gloss,
    difficulty=difficulty,
  )
  image = camera.cover(image, z['shadow'], z['occluder'], difficulty=difficulty)
  return camera.develop(
    image, z['camera'], gear, noise_key, difficulty=difficulty
  )


def _draw_creases(uniforms, normals, z, wear, pose, difficulty, size, blur):
  """Absorbance [size, size] of all creases as this sample shows them."""
  strokes = lines.identity_strokes(uniforms, normals, wear)
  # Dryness moves all creases, visibility each; some fine ones are not seen.
  visible = z['visible']
  state = jnp.exp(difficulty * (0.28 * visible - 0.1 + 0.25 * z['skin'][1]))
  fine = jnp.arange(visible.size) >= lines.CREASES[0]
  state *= jnp.where(fine & (visible < -1.5), 1 - difficulty, 1.0)
  spurious = lines.single_strokes(
    jax.scipy.stats.norm.cdf(z['spurious_u']), z['spurious'], 0.4
  )
  happens = difficulty * (z['spurious'][:, 0] > 0.3)
  # Points are spread over the palm's own strokes before the sample hides any:
  # what one sample hides must not move the points of the others.
  creases = curves.trace(strokes, POINTS * size)
  extra = curves.trace(spurious, 2 * size)
  points, depth, width, _ = (
    jnp.concatenate(parts) for parts in zip(creases, extra, strict=True)
  )
  state = jnp.concatenate([state[creases[-1]], happens[extra[-1]]])
  depth *= state * palm_pose.area(pose, points)
  points = palm_pose.to_image(pose, points)
  table = palm_random.settle(
    jnp.concatenate([points, depth[:, None], width[:, None]], axis=1)
  )
  points, depth, width = table[:, :2], table[:, 2], table[:, 3]
  return render.splat_lines(points, depth, width, size=size, blur=blur)


@functools.partial(jax.jit, static_argnames=('size', 'block'))
def _draw_many(shared, numbers, size, block):
  key, difficulty = shared

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
    return pixels.to_uint8(image)

  return draws.map_rows(one, numbers, block=block)


def draw_batch(
  key, identities, samples, *, size, difficulty=0.5, sessions=None, devices=None
):
  """Draws a batch of palms; compiled for each size and B (`data.draws`).

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

  Raises:
    ValueError: `difficulty` is outside [0, 1] or `size` below 16.
  """
  if not 0 <= difficulty <= 1:
    raise ValueError(f'difficulty is {difficulty}; it must be within [0, 1]')
  identities, samples = jnp.asarray(identities), jnp.asarray(samples)
  sessions = session_of(samples) if sessions is None else jnp.asarray(sessions)
  devices = device_of(sessions) if devices is None else jnp.asarray(devices)
  return draws.on_all_cores(
    functools.partial(_draw_many, size=size, block=draws.block_size(size)),
    (key, jnp.asarray(difficulty, jnp.float32)),
    (identities, samples, sessions, devices),
  )


def draw_set(
  key,
  identities,
  samples_per_identity,
  *,
  size,
  difficulty=0.5,
  batch_size=256,
):
  """Draws a whole set in host memory, `batch_size` palms at a time.

  Args:
    key: root random key.
    identities: int [I].
    samples_per_identity: int.
    size: int, side in pixels.
    difficulty: scalar in [0, 1].
    batch_size: int, what the device draws at once.

  Returns:
    images uint8 [N, size, size, 3], identities int32 [N] and samples int32 [N]
    as NumPy arrays, N = I · samples_per_identity, identity by identity.
  """
  samples = np.arange(samples_per_identity, dtype=np.int32)
  wanted = np.repeat(np.asarray(identities, np.int32), len(samples))
  samples = np.tile(samples, len(identities))
  images = np.empty((len(wanted), size, size, 3), np.uint8)
  for start in range(0, len(wanted), batch_size):
    # The last batch is filled up by wrapping around: one shape, one compile.
    index = np.arange(start, start + batch_size)
    batch = draw_batch(
      key,
      np.take(wanted, index, mode='wrap'),
      np.take(samples, index, mode='wrap'),
      size=size,
      difficulty=difficulty,
    )
    kept = images[start : start + batch_size]
    kept[:] = np.asarray(batch)[: len(kept)]
  return images, wanted, samples

"""From a hand's surface to its colours: skin, nails, sleeve, light and shade.

The palm has the creases, texture and colour of an identity of `data.palms`.
They lie on the palm's plane in the square u ∈ [−0.9, 0.9], v ∈ [0.1, 1.9] of
the palm frame, where an ROI is cut out, and a little beyond.
"""

import jax
import jax.numpy as jnp

from palmjax.data.hands import camera as hand_camera
from palmjax.data.palms import curves, lines, palms, render
from palmjax.data.palms import random as palm_random
from palmjax.data.palms import skin as palm_skin
from palmjax.ops import blur, warp

ROI = (0.9, 0.1, 1.8)  # −u of the left border, v of the upper one, side.
MARGIN = 0.12  # Sides of texture beyond each border of the square.
POINTS = 60  # Points of creases for each pixel of the texture's side.

UNIFORMS = {'skin': (10,)}
NORMALS = {'skin': (10,)}


def identity_draws(key, identity):
  """Random draws of a palm, those of `palms.draw` with this root key.

  Args:
    key: root random key.
    identity: int scalar.

  Returns:
    `data.palms.skin.Person`, dict of uniform and dict of normal draws.
  """
  streams = palm_random.folds(key, (palms.PERSON, palms.IDENTITY))
  person_key, identity_key = palm_random.folds(
    streams, jnp.stack([identity // 2, identity])
  )
  palm_key = jax.random.fold_in(identity_key, palms.PALM)
  return (
    palm_skin.person(jax.random.uniform(person_key, (9,))[:4]),
    *palm_random.blocks(
      jax.random.fold_in(palm_key, 0), palms.UNIFORMS, palms.NORMALS
    ),
  )


def texture(person, uniforms, normals, *, size):
  """A palm as a left one, without pose, light and camera.

  Args:
    person, uniforms, normals: from `identity_draws`.
    size: static int, side of the texture.

  Returns:
    Reflectance relative to smooth skin [size, size, 3] over the square and its
    margin, and the reflectance of smooth skin [3].
  """
  whole = 1 + 2 * MARGIN
  strokes = lines.identity_strokes(uniforms, normals, person.wear)
  points, depth, width, _ = curves.trace(strokes, POINTS * size)
  table = palm_random.settle(
    jnp.concatenate(
      [
        (points + MARGIN) / whole,
        depth[:, None] / whole,
        width[:, None] / whole,
      ],
      axis=1,
    )
  )
  creases = render.splat_lines(
    table[:, :2], table[:, 2], table[:, 3], size=size, blur=0.003
  )
  fine, coarse = (
    render.splat_waves(
      (kernels.centers + MARGIN) / whole,
      kernels.waves * whole,
      kernels.width / whole,
      kernels.phase,
      kernels.weight,
      size=size,
      blur=0.003,
    )
    for kernels in palm_skin.texture_kernels(uniforms, normals)
  )
  grid = render.pixel_grid(size) * whole - MARGIN
  height = 0.11 * palm_skin.mounds(normals['mounds'], grid)
  height -= 0.0035 * (1 - jnp.exp(-creases)) + 0.0007 * fine
  along_x, along_y = render.slopes(height / whole)
  shading = jnp.clip(1 + 0.25 * (0.3 * along_x + 0.5 * along_y), 0.3, 1.7)
  flat = jnp.zeros(())
  smooth = palm_skin.absorbance(person, flat, flat, flat, 0.0)
  rough = palm_skin.absorbance(person, creases, coarse, fine, 0.0)
  return jnp.exp(smooth - rough) * shading[..., None], jnp.exp(-smooth)


def shade(surface, camera, relief, base, facing, noise, u, z):
  """Linear radiance [S, S, 3] of a hand, its arm and sleeve.

  Args:
    surface: `render.Surface`, [S, S] each.
    camera: `camera.Camera`.
    relief: [T, T, 3] from `texture`.
    base: [3] from `texture`.
    facing: bool scalar; else the relief is not looked at.
    noise: [S, S] mottling of unit variance.
    u: [10] uniform draws.
    z: [10] normal draws.
  """
  size = noise.shape[0]
  scale = camera.scale
  back = base ** (1.05 + 0.25 * u[0]) * jnp.asarray([0.97, 0.92, 0.88])
  detail = jax.lax.cond(
    facing,
    lambda: _detail(relief, camera, size),
    lambda: jnp.ones((size, size, 3)),
  )
  seen_back = jax.nn.sigmoid(8 * surface.dorsal)
  body = surface.palm * (1 - seen_back)
  skin = base + seen_back[..., None] * (back - base)
  skin *= 1 + body[..., None] * (detail - 1)
  absorbed = (0.9 - 0.35 * seen_back) * surface.crease
  absorbed += 0.04 * noise * (1 - body)
  skin *= jnp.exp(-absorbed[..., None] * jnp.asarray([0.5, 0.8, 0.8]))
  polish = jnp.where(u[1] < 0.08, 1.0, 0.0)
  plate = base * jnp.asarray([1.12, 1.02, 1.02]) + 0.04
  lacquer = jnp.asarray([0.5, 0.03, 0.06]) + 0.3 * u[2:5] * (u[5] < 0.5)
  plate += polish * (lacquer - plate)
  nail = surface.nail[..., None]
  rim = 1 - 1.1 * nail * (1 - nail)
  skin = (skin + 0.8 * nail * (plate - skin)) * rim

  skin += surface.sleeve[..., None] * (_cloth(surface, scale, u, z) - skin)
  return _light(skin, surface, scale, u, z)


def _detail(relief, camera, size):
  """The relief on the palm's plane [S, S, 3], 1 off the square."""
  place = hand_camera.to_plane(camera, render.pixel_grid(size) * size)
  margin, top, side = ROI
  where = (place + jnp.asarray([margin, -top])) / side - 0.5
  read = warp.warp(relief[None], where[None] / (1 + 2 * MARGIN))[0]
  border = jnp.max(jnp.abs(where), axis=-1)
  inside = jnp.clip((0.5 + MARGIN - border) / MARGIN, 0, 1)
  return 1 + inside[..., None] * (read - 1)


def _cloth(surface, scale, u, z):
  """Colours of the sleeve [S, S, 3]."""
  first, second = _cloth_color(z[0], z[1:4]), _cloth_color(z[4], z[5:8])
  turns = surface.along / scale / (0.12 + 0.5 * u[6])
  stripe = jax.nn.sigmoid(8 * jnp.sin(2 * jnp.pi * turns))
  stripe *= jnp.where(u[7] < 0.3, 1.0, 0.0)
  cuff = jax.nn.sigmoid((0.35 - surface.along / scale) / 0.02)
  mix = jnp.maximum(stripe, 0.35 * cuff)
  rib = 1 + 0.12 * cuff * jnp.sin(2 * jnp.pi * surface.along / (0.09 * scale))
  return (first + mix[..., None] * (second - first)) * rib[..., None]


def _cloth_color(level, tint):
  return 0.14 * jnp.exp(1.1 * level + 0.3 * tint)


def _light(color, surface, scale, u, z):
  """Shading of the height field by one lamp, with occlusion and gloss."""
  size = color.shape[0]
  floor = -0.5 * scale
  height = jnp.maximum(surface.height, floor)
  along_x, along_y = render.slopes(height / size)
  facing = jax.lax.rsqrt(1 + along_x**2 + along_y**2)
  angle = 2 * jnp.pi * u[8]
  low = 0.25 + 0.6 * u[9]
  lamp = jnp.stack([low * jnp.cos(angle), low * jnp.sin(angle)])
  cosine = facing * (1 - along_x * lamp[0] - along_y * lamp[1])
  cosine *= jax.lax.rsqrt(1 + low**2)
  ambient = 0.45 + 0.12 * jnp.clip(z[8], -1.5, 2)
  # What rises around a point, above all towards the lamp, takes its light.
  around = blur.gaussian(
    height[None, ..., None],
    0.16 * scale,
    border='inside',
    shift=0.14 * scale * lamp,
  )[0, ..., 0]
  hidden = jnp.maximum(around - height, 0.0) / scale
  open_sky = jnp.exp(-2.2 * hidden)
  lit = ambient * (0.55 + 0.45 * facing) * open_sky
  lit += (1 - ambient) * jnp.maximum(cosine, 0.0) * open_sky**1.5
  gloss = 0.05 * jnp.exp(0.5 * z[9]) * jnp.maximum(cosine, 0.0) ** 16
  gloss *= (1 + 2 * surface.nail) * (1 - surface.sleeve) * open_sky
  return color * lit[..., None] + gloss[..., None]


def cast_shadow(alpha, scale, u):
  """Share of light [S, S] that a hand keeps from what is right behind it.

  Args:
    alpha: [S, S] the hand's coverage.
    scale: scalar, pixels a unit of the model.
    u: [10] uniform draws of `shade`.
  """
  way, angle = 0.1 + 0.7 * u[0], 2 * jnp.pi * u[8]
  shift = way * scale * jnp.stack([jnp.cos(angle), jnp.sin(angle)])
  strength = 0.75 * jnp.maximum(u[7] - 0.35, 0.0)
  soft = (0.05 + 0.35 * way) * scale
  shadow = blur.gaussian(
    alpha[None, ..., None], soft, border='inside', shift=shift
  )
  return strength * shadow[0, ..., 0]

"""Surroundings of drawn hands: rooms, things, other skin, occluders.

A thing is a rounded box or an ellipse, sheared and turned, filled with a
gradient, stripes or checks, flat or rounded by shading.
"""

import jax
import jax.numpy as jnp

from palmjax.data.palms import render
from palmjax.data.palms import skin as palm_skin

THINGS, SKINS, COVERS = 12, 3, 2
_TOTAL = THINGS + SKINS + COVERS
_WAVES = 160

UNIFORMS = {
  'things': (_TOTAL, 16),
  'room': (12,),
  'waves': (2, _WAVES, 5),
  'counts': (4,),
}
NORMALS = {'things': (_TOTAL, 8), 'room': (15,), 'waves': (2, _WAVES)}


def textures(u, z, *, size):
  """Two fields [2, size, size] of about unit variance: coarse, fine.

  Args:
    u: [2, _WAVES, 5] uniform draws.
    z: [2, _WAVES] normal draws.
    size: static int.
  """

  def one(u, z, low, high):
    frequency = low * (high / low) ** u[:, 2]
    angle = jnp.pi * u[:, 3]
    waves = frequency[:, None] * jnp.stack(
      [jnp.cos(angle), jnp.sin(angle)], axis=-1
    )
    width = jnp.minimum(1.2 / frequency, 0.25)
    # A kernel's energy is a²πσ²/2, as in palm_skin.
    weight = z / jnp.sqrt(_WAVES / 1.44 * jnp.pi * width**2 / 2)
    return render.splat_waves(
      1.2 * u[:, :2] - 0.1,
      waves,
      width,
      2 * jnp.pi * u[:, 4],
      weight,
      size=size,
      blur=0.0,
    )

  return jnp.stack([one(u[0], z[0], 1.0, 6.0), one(u[1], z[1], 6.0, 30.0)])


def room(u, z, fields):
  """Wall, floor or table: linear [S, S, 3].

  Args:
    u: [12] uniform draws.
    z: [15] normal draws.
    fields: [2, S, S] from `textures`.
  """
  size = fields.shape[-1]
  grid = render.pixel_grid(size) - 0.5
  first, second = _color(u[0], z[0:3]), _color(u[1], z[3:6])
  angle = 0.25 * z[6] + jnp.where(u[2] < 0.3, jnp.pi * u[3], 0.0)
  level = grid[..., 1] * jnp.cos(angle) + grid[..., 0] * jnp.sin(angle)
  split = jax.nn.sigmoid((level + 0.45 - 1.2 * u[4]) / 0.004)
  split *= jnp.where(u[5] < 0.7, 1.0, 0.0)
  # Planks, tiles or cloth.
  step = 0.06 + 0.3 * u[6]
  across = (grid[..., 0] * jnp.cos(angle) - level * jnp.sin(angle)) / step
  joint = jnp.minimum(_groove(across), _groove(level / step + u[7]))
  joint = jnp.where(u[8] < 0.5, _groove(across), joint)
  depth = jnp.where(u[9] < 0.35, 0.5, 0.0)
  relief = 0.2 * u[10] ** 4 * fields[0] + 0.3 * u[11] ** 4 * fields[1]
  color = first + split[..., None] * (second - first)
  # Flowers of a carpet or a cover.
  flower = jax.nn.sigmoid(9 * (fields[0] + 0.5 * fields[1] - 0.3))
  flower *= jnp.where(u[3] > 0.88, 1.0, 0.0)
  color += flower[..., None] * (_color(u[10], z[12:15]) - color)
  ramp = jnp.exp(0.7 * (z[7] * grid[..., 0] + z[8] * grid[..., 1]) + relief)
  tint = jnp.exp(0.06 * z[9:12] * fields[0][..., None] * u[10])
  return color * (ramp * (1 - depth * (1 - joint)))[..., None] * tint


def _groove(x):
  """0 at whole numbers, 1 elsewhere."""
  return jnp.clip(jnp.abs(x - jnp.round(x)) * 40, 0, 1)


def _color(level, tint):
  """Linear colour: dark to bright, mostly muted."""
  # Rooms are warm more often than cold.
  warm = jnp.asarray([0.12, 0.0, -0.16])
  return 0.02 * 40**level * jnp.exp(0.22 * tint + warm * (1 + tint[0]))


def add_things(image, u, z, fields, count, first):
  """Draws things [first, first + count) over an image.

  Args:
    image: linear [S, S, 3].
    u: [_TOTAL, 16] uniform draws.
    z: [_TOTAL, 8] normal draws.
    fields: [2, S, S] from `textures`.
    count: int scalar.
    first: int scalar; from THINGS on they have the colour of skin, from
      THINGS + SKINS on they cover hands and are smaller.

  Returns:
    The image, and what they cover [S, S] in [0, 1].
  """
  size = image.shape[0]
  grid = render.pixel_grid(size)

  def add(k, state):
    image, covered = state
    color, alpha = _thing(u[k], z[k], grid, fields, k)
    alpha = alpha[..., None]
    return image + alpha * (color - image), jnp.maximum(covered, alpha[..., 0])

  covered = jnp.zeros((size, size))
  return jax.lax.fori_loop(first, first + count, add, (image, covered))


def _thing(u, z, grid, fields, k):
  skin = (k >= THINGS) & (k < THINGS + SKINS)
  cover = k >= THINGS + SKINS
  skin |= cover & (u[15] < 0.3)
  size = grid.shape[0]
  # Faces are ovals, arms long; other things anything.
  kind = u[0]
  oval = kind < jnp.where(skin, 0.5, 0.3)
  wide = 0.04 + 0.3 * u[1] ** 1.5
  ratio = jnp.where(oval, 0.6 + 0.4 * u[2], 0.04 + 1.2 * u[2] ** 1.5)
  ratio = jnp.where(skin & ~oval, 0.1 + 0.15 * u[2], ratio)
  wide = jnp.where(skin & ~oval, 0.3 + 0.7 * u[1], wide)
  wide = jnp.where(cover, 0.05 + 0.13 * u[1], wide)
  high = wide * ratio
  turned = jnp.where(skin | (u[3] < 0.3) | cover, jnp.pi * u[4], 0.1 * z[0])
  c, s = jnp.cos(turned), jnp.sin(turned)
  place = grid - (-0.1 + 1.2 * u[5:7])
  x = c * place[..., 0] + s * place[..., 1]
  y = c * place[..., 1] - s * place[..., 0]
  x += 0.2 * z[1] * y
  soft = jnp.where(skin, 1.0, u[7] ** 2) * jnp.minimum(wide, high)
  edge = jnp.stack([jnp.abs(x) - wide + soft, jnp.abs(y) - high + soft])
  outer = jnp.maximum(edge, 0.0)
  box = jnp.sqrt(outer[0] ** 2 + outer[1] ** 2) - soft
  box += jnp.minimum(jnp.maximum(edge[0], edge[1]), 0.0)
  radial = jnp.sqrt((x / wide) ** 2 + (y / high) ** 2 + 1e-9)
  distance = jnp.where(oval, (radial - 1) * jnp.minimum(wide, high), box)
  alpha = jax.nn.sigmoid(-distance * size / 0.5)

  person = palm_skin.person(u[8:12])
  flat = jnp.zeros(())
  of_skin = jnp.exp(-palm_skin.absorbance(person, flat, flat, flat, 0.0))
  first = jnp.where(skin, of_skin, _color(u[8], z[2:5] * (0.5 + u[9])))
  second = jnp.where(skin, of_skin, _color(u[10], z[5:8]))
  period = 0.012 + 0.09 * u[12]
  stripe = jnp.sin(2 * jnp.pi * x / period)
  checked = stripe * jnp.sin(2 * jnp.pi * y / period)
  figure = jnp.where(u[13] < 0.2, stripe, jnp.where(u[13] < 0.35, checked, -1))
  figure = jnp.where(u[13] > 0.75, fields[0] + 0.4 * fields[1], figure)
  mix = jax.nn.sigmoid(6 * figure)
  round_part = skin | (u[14] < 0.3)
  depth = jnp.clip(-distance / (0.7 * jnp.minimum(wide, high) + 1e-3), 0, 1)
  bulge = 0.45 + 0.55 * jnp.sqrt(depth * (2 - depth) + 1e-6)
  light = jnp.where(round_part, bulge, 1.0) * jnp.exp(0.5 * z[0] * x / wide)
  light *= jnp.exp(0.04 * fields[1] + 0.1 * fields[0])
  color = first + mix[..., None] * (second - first)
  return color * light[..., None], alpha

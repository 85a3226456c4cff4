"""A hand's visible surface: height, outline and markings, by rows of cones.

A round cone seen along z is a swept disc of half spheres. With the pixel at s
along and p across the projected axis, whose slope to the image is u_z, and
ρ² = r² − p², the topmost point of an endless cylinder lies at

  t = (s + ρ u_z) / m,    height = z(t) + √(r² − p² − (s − m t)²),

m the axis' projected length; t is then cut to the cone's ends. Heights of all
cones join by a smooth maximum, outlines (signed distances) by a smooth minimum.

The image is worked through in tiles, and in each tile only the cones that
reach it.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from palmjax.data.hands import pose

TILES = 4  # Along each side.
FLOOR = -1e4  # Height where nothing is.

# What is fixed of each cone, see `_markings`.
_COLUMNS = (
  'flat',
  'skirt',
  'palm',
  'sleeve',
  'nail',
  'web',
  'inner_start',
  'inner_end',
  'outer_start',
  'outer_end',
)


def _static():
  table = {name: np.zeros(pose.COUNT) for name in _COLUMNS}
  palm, thumb = pose.PALM, pose.THUMB
  first = palm + thumb
  table['flat'][:palm] = 0.72
  table['flat'][palm:] = 0.92
  # A wrist is flatter than the heel of the hand, which hides the arm's end.
  table['flat'][pose.HAND : pose.HAND + 2] = 0.58
  table['flat'][pose.HAND + 2 :] = 0.75
  # Beyond its outline a part falls off: the palm's slowly, where skin spans.
  table['skirt'][:] = 40
  table['skirt'][:palm] = 3
  table['skirt'][pose.HAND : pose.HAND + 2] = 3
  table['palm'][: palm + 1] = 1  # With the thumb's metacarpal,
  table['palm'][pose.HAND :] = 1  # and the arm, of the same skin.
  table['sleeve'][pose.HAND + 2 :] = 1
  table['nail'][[palm + 2, *range(first + 2, pose.HAND, 3)]] = 1
  proximal = np.arange(first, pose.HAND, 3)
  table['web'][proximal] = 1
  for start, end, low, high in (
    ('inner_start', 'inner_end', 0.8, 0.6),
    ('outer_start', 'outer_end', 0.9, 0.6),
  ):
    table[end][proximal] = table[start][proximal + 1] = low
    table[end][proximal + 1] = table[start][proximal + 2] = high
    table[end][palm + 1] = table[start][palm + 2] = high
  return np.stack([table[name] for name in _COLUMNS], axis=-1)


class Surface(NamedTuple):
  """Visible surface of a hand and its arm; each [size, size].

  Attributes:
    height: pixels towards the camera; FLOOR-like far from the hand.
    distance: signed distance to the outline in pixels, negative inside.
    palm: 1 on the palm's body and the arm, 0 on fingers.
    sleeve: 1 on the sleeve.
    crease: depth of joint creases in [0, 1].
    nail: 1 on nails.
    dorsal: cosine between the surface and the back of its part.
    along: pixels along the cone's axis.
  """

  height: jax.Array
  distance: jax.Array
  palm: jax.Array
  sleeve: jax.Array
  crease: jax.Array
  nail: jax.Array
  dorsal: jax.Array
  along: jax.Array


def surface(cones, scale, *, size):
  """Renders the cones of a hand as a visible surface.

  Args:
    cones: `pose.Cones` [COUNT] in pixels.
    scale: scalar, pixels a unit of the model.
    size: static int, side in pixels.

  Returns:
    `Surface`.
  """
  side = -(-size // TILES)
  table = jnp.concatenate(
    [
      cones.start,
      cones.end,
      cones.radius,
      cones.dorsal,
      jnp.asarray(_static(), jnp.float32),
    ],
    axis=1,
  )
  radius = jnp.max(cones.radius, axis=1) + 0.15 * scale + 2
  middle = jnp.arange(side) + 0.5

  def draw_tile(number, canvas):
    corner = side * jnp.stack([number % TILES, number // TILES])
    center = corner + side / 2
    reach = radius + side * 0.7072
    # How far the tile's centre is from each cone's axis.
    away = center - cones.start[:, :2]
    axis = (cones.end - cones.start)[:, :2]
    share = jnp.sum(away * axis, axis=1) / (jnp.sum(axis**2, axis=1) + 1e-6)
    away -= jnp.clip(share, 0, 1)[:, None] * axis
    near = jnp.sum(away**2, axis=1) < reach**2
    order = jnp.argsort(~near, stable=True)
    x, y = jnp.meshgrid(corner[0] + middle, corner[1] + middle)

    def add(k, layers):
      return _add(table[order[k]], x, y, scale, layers)

    flat = jnp.zeros((side, side))
    layers = Surface(flat + FLOOR, flat - FLOOR, *[flat] * 6)
    layers = jax.lax.fori_loop(0, jnp.sum(near), add, layers)
    return jax.lax.dynamic_update_slice(
      canvas, jnp.stack(layers), (0, corner[1], corner[0])
    )

  canvas = jnp.zeros((8, TILES * side, TILES * side))
  canvas = jax.lax.fori_loop(0, TILES * TILES, draw_tile, canvas)
  return Surface(*canvas[:, :size, :size])


def _add(row, x, y, scale, layers):
  """Layers with one more cone."""
  start, end, radii, dorsal = row[0:3], row[3:6], row[6:8], row[8:11]
  static = dict(zip(_COLUMNS, row[11:], strict=True))
  axis = end - start
  length = jnp.sqrt(jnp.sum(axis**2) + 1e-6)
  flat_length = jnp.sqrt(jnp.sum(axis[:2] ** 2) + 1e-4)
  ex, ey = axis[0] / flat_length, axis[1] / flat_length
  slope = axis[2] / length
  qx, qy = x - start[0], y - start[1]
  s = qx * ex + qy * ey
  p = qy * ex - qx * ey

  nearest = jnp.clip(s / flat_length, 0, 1)
  radius = radii[0] + (radii[1] - radii[0]) * nearest
  off = jnp.sqrt(p * p + (s - flat_length * nearest) ** 2)
  distance = off - radius
  rho = jnp.sqrt(jnp.maximum(radius**2 - p * p, 0.0))
  t = jnp.clip((s + rho * slope) / flat_length, 0, 1)
  radius = radii[0] + (radii[1] - radii[0]) * t
  w = s - flat_length * t
  up = static['flat'] * jnp.sqrt(jnp.maximum(radius**2 - p * p - w * w, 0.0))
  height = (
    start[2] + axis[2] * t + up - static['skirt'] * jnp.maximum(distance, 0.0)
  )

  # Coordinates on the part: along its axis, and towards its back.
  along = t * length + w * (flat_length / length) + up * slope
  vx, vy = w * ex - p * ey, w * ey + p * ex
  cosine = (vx * dorsal[0] + vy * dorsal[1] + up * dorsal[2]) / radius
  crease, nail = _markings(static, along, p, length, radius, cosine, scale)

  top = height > layers.height
  k = 0.08 * scale

  def smooth(a, b):
    return 0.25 / k * jnp.maximum(k - jnp.abs(a - b), 0.0) ** 2

  def pick(new, old):
    return jnp.where(top, new, old)

  return Surface(
    height=jnp.maximum(height, layers.height) + smooth(height, layers.height),
    distance=jnp.minimum(distance, layers.distance)
    - smooth(distance, layers.distance),
    palm=pick(static['palm'], layers.palm),
    sleeve=pick(static['sleeve'], layers.sleeve),
    crease=pick(crease, layers.crease),
    nail=pick(nail, layers.nail),
    dorsal=pick(cosine, layers.dorsal),
    along=pick(along, layers.along),
  )


def _markings(static, along, across, length, radius, cosine, scale):
  """Creases across a finger's joints and its nail, both in [0, 1]."""
  inside = jnp.clip(0.5 - 2.5 * cosine, 0, 1)
  outside = jnp.clip(2.5 * cosine - 0.5, 0, 1)
  bow = 0.12 * across * across / radius

  def line(place, width):
    # Thinner than a pixel, a line fades instead of aliasing.
    wide = width * scale + 0.6
    return (width * scale / wide) / (
      1 + ((along + bow - place) / wide) ** 2
    ) ** 2

  first = along < length / 2
  joint = jnp.where(first, 0.0, length)
  inner = jnp.where(first, static['inner_start'], static['inner_end'])
  outer = jnp.where(first, static['outer_start'], static['outer_end'])
  crease = inner * (
    line(joint - 0.03 * scale, 0.022) + 0.7 * line(joint + 0.05 * scale, 0.018)
  )
  crease += static['web'] * line(0.48 * scale, 0.025)
  # The back of a joint: a few wrinkles within an oval.
  off = (along - joint) / (0.13 * scale)
  oval = jnp.maximum(1 - off**2 - (across / radius) ** 2, 0.0)
  ripple = jnp.cos(2 * jnp.pi * (along + 2 * bow - joint) / (0.075 * scale))
  fine = jnp.clip(scale * 0.075 / 3 - 0.5, 0, 1)  # Three pixels a wrinkle.
  outer *= oval * (0.35 + 0.45 * fine * ripple)

  soft = 0.35 / radius + 0.05
  nail = jax.nn.sigmoid((cosine - 0.52) / soft)
  end = (along - 0.42 * length) / (0.03 * scale + 0.35)
  tip = (length + 0.72 * radius - along) / (0.03 * scale + 0.35)
  nail *= jax.nn.sigmoid(end) * jax.nn.sigmoid(tip)
  return jnp.clip(inside * crease + outside * outer, 0, 1), static[
    'nail'
  ] * nail

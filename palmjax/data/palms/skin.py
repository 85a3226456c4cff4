"""Skin of a palm: tone, mounds, mottling, and texture that tells palms apart.

Linear reflectance is exp(−absorbance), with absorbance linear in melanin and
haemoglobin, so one plane of two pigments covers light to dark skin evenly.
Texture is sparse Gabor noise: kernels with the palm's own smooth orientation
field.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from palmjax.data.palms import pose as palm_pose
from palmjax.data.palms import render

# Absorbance of bloodless pale skin and of each pigment; R, G, B.
BASE = (0.20, 0.42, 0.58)
MELANIN = (1.40, 1.85, 2.15)
BLOOD = (0.16, 0.58, 0.46)

FINE, COARSE = 26, 9  # Kernels along one side of the jittered grids.
MARGIN = 0.2  # Skin beyond the square on each side.

_MOUNDS = 7
UNIFORMS = {'fine': (FINE**2, 4), 'coarse': (COARSE**2, 5)}
NORMALS = {
  'fine': (FINE**2, 2),
  'coarse': (COARSE**2, 1),
  'flow': (5,),
  'mounds': (_MOUNDS, 4),
}

# Centre and radius of each mound, and its height. Thenar, hypothenar, the
# mounts below four fingers, and the hollow.
MOUNDS = (
  (0.13, 0.78, 0.26, 1.0),
  (0.93, 0.72, 0.26, 0.8),
  (0.08, 0.06, 0.13, 0.35),
  (0.38, -0.01, 0.12, 0.4),
  (0.66, 0.00, 0.12, 0.4),
  (0.92, 0.08, 0.13, 0.35),
  (0.50, 0.50, 0.24, -0.5),
)


class Person(NamedTuple):
  """Skin that both palms of a person share; scalars in [0, 1]."""

  melanin: jax.Array
  blood: jax.Array
  wear: jax.Array
  gloss: jax.Array


class Kernels(NamedTuple):
  """K Gabor kernels in palm coordinates, see `render.splat_waves`."""

  centers: jax.Array
  waves: jax.Array
  width: jax.Array
  phase: jax.Array
  weight: jax.Array


def person(u):
  """A `Person` from uniform draws [4]: no skin tone is rare."""
  return Person(melanin=u[0], blood=u[1], wear=u[2], gloss=u[3])


def texture_kernels(uniforms, normals):
  """Fine texture and coarse mottling of one palm, unit variance each.

  Args:
    uniforms: dict of draws, shapes `UNIFORMS`.
    normals: dict of draws, shapes `NORMALS`.

  Returns:
    Two `Kernels`.
  """
  u, z = uniforms['fine'], normals['fine']
  flow = normals['flow']

  def ridges(x, y):
    angle = 0.5 * flow[0] + flow[1] * x + flow[2] * y + 0.35 * z[:, 1]
    return angle + 0.5 * flow[3] * jnp.sin(5 * x + 2 * flow[4]) * jnp.cos(4 * y)

  def patches(x, y):
    del x, y
    return jnp.pi * uniforms['coarse'][:, 4]

  return (
    _kernels(FINE, (7.0, 26.0), u, z[:, 0], ridges),
    _kernels(
      COARSE, (1.5, 5.0), uniforms['coarse'], normals['coarse'][:, 0], patches
    ),
  )


def _kernels(side, band, u, z, orientation):
  """Kernels on a jittered grid; band in cycles a side, u [K, 4], z [K]."""
  low, high = band
  count = side * side
  cell = jnp.stack(jnp.divmod(jnp.arange(count), side), axis=-1)
  extent = 1 + 2 * MARGIN
  centers = (cell + u[:, :2]) / side * extent - MARGIN
  angle = orientation(*(centers.T - 0.5))
  frequency = low * (high / low) ** u[:, 2]
  width = 0.55 / frequency
  waves = frequency[:, None] * jnp.stack(
    [jnp.cos(angle), jnp.sin(angle)], axis=-1
  )
  # A kernel's energy is a²πσ²/2; the density makes the sum's variance 1.
  density = count / extent**2
  weight = z / jnp.sqrt(density * jnp.pi * width**2 / 2)
  # Natural textures have less power in finer detail.
  weight *= jnp.sqrt(low / frequency)
  return Kernels(centers, waves, width, 2 * jnp.pi * u[:, 3], weight)


def splat(kernels, pose, *, size, blur):
  """Draws kernels [size, size] where the pose puts them."""

  def place(center):
    return palm_pose.to_image(pose, center)

  centers = place(kernels.centers)
  # A wave vector is a covector: it moves by the inverse transposed Jacobian.
  (a, c), (b, d) = (
    jax.jvp(
      place, (kernels.centers,), (jnp.zeros_like(centers).at[:, i].set(1.0),)
    )[1].T
    for i in range(2)
  )
  x, y = kernels.waves.T
  waves = (
    jnp.stack([d * x - c * y, a * y - b * x], -1) / (a * d - b * c)[:, None]
  )
  return render.splat_waves(
    centers,
    waves,
    kernels.width,
    kernels.phase,
    kernels.weight,
    size=size,
    blur=blur,
  )


def mounds(z, points):
  """Height [...] of mounds at palm coordinates [..., 2]; z [7, 4] normal."""
  table = jnp.asarray(MOUNDS)
  x, y, radius, height = (table + jnp.asarray([0.03, 0.03, 0.02, 0.12]) * z).T
  squared = (points[..., 0, None] - x) ** 2 + (points[..., 1, None] - y) ** 2
  return jnp.sum(height * jnp.exp(-squared / (2 * radius**2)), axis=-1)


def absorbance(person, creases, mottling, texture, flush):
  """Absorbance [..., 3] of skin.

  Args:
    person: `Person`.
    creases: [...] depth of the creases, 0 on smooth skin.
    mottling: [...] unit variance, blood near the surface.
    texture: [...] unit variance.
    flush: scalar, change of blood in this sample.
  """
  base, melanin, blood = (jnp.asarray(x) for x in (BASE, MELANIN, BLOOD))
  valley = (1 - jnp.exp(-creases))[..., None]
  blood_level = 0.1 + 0.7 * person.blood + flush + 0.07 * mottling
  # A crease shows blood in pale skin and pigment in dark skin.
  tint = (1 - person.melanin) * jnp.asarray((0.30, 0.62, 0.60))
  tint += person.melanin * jnp.asarray((0.58, 0.66, 0.66))
  return (
    base
    + person.melanin * melanin
    + blood_level[..., None] * blood
    + valley * tint
    + (0.020 + 0.025 * person.wear) * texture[..., None]
  )

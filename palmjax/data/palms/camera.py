"""From reflectance to pixels: light, occlusion, exposure, colour, noise, JPEG.

Light works on linear values; exposure, white balance, gamma, saturation, noise
and 8×8 block coding come after, in a camera's order. Quantisation rounds
softly, x − sin(2πx)/2π: a hard round would turn a difference in the last bit
into a visible one.
"""

import jax
import jax.numpy as jnp

from palmjax.data.palms import render

LUMA = (0.299, 0.587, 0.114)
BLOCK = 8
EVENT = 1.184  # A normal cut to ±2 exceeds this with probability .1.


def illuminate(reflectance, shading, light, gloss, *, difficulty):
  """Linear radiance [S, S, 3] under the sample's light.

  Args:
    reflectance: [S, S, 3] linear.
    shading: [S, S] cosine-like factor near 1.
    light: [16] latents in [-2, 2].
    gloss: [S, S] reflectance of the surface film.
    difficulty: scalar in [0, 1].
  """
  d = difficulty
  size = reflectance.shape[0]
  decay = jnp.asarray([[0.0, 1.0, 0.5], [1.0, 0.5, 0.3], [0.5, 0.3, 0.2]])
  field = 0.22 * d * decay * light[:9].reshape(3, 3)
  gain = jnp.exp(render.cosine_field(field, size))
  grid = render.pixel_grid(size)
  spot = 0.5 + 0.25 * light[9:11]
  radius = 0.24 + 0.06 * light[11]
  squared = jnp.sum((grid - spot) ** 2, axis=-1)
  shine = jnp.maximum(light[12], 0.0) * (0.03 + 0.14 * d)
  highlight = shine * gloss * jnp.exp(-squared / (2 * radius**2))
  warmth = 0.06 * d * light[13] * jnp.asarray([1.0, 0.0, -1.0])
  lit = reflectance * (gain * shading)[..., None] * jnp.exp(warmth)
  return lit + highlight[..., None]


def cover(image, shadow, occluder, *, difficulty):
  """A cast shadow and an object over the border, each with probability .1.

  Args:
    image: [S, S, 3] linear.
    shadow: [4] latents: event, direction, reach, darkness.
    occluder: [7] latents: event, direction, reach, edge, R, G, B.
    difficulty: scalar in [0, 1]; at 0 neither happens.
  """
  grid = render.pixel_grid(image.shape[0]) - 0.5

  def side(event, direction, reach, soft):
    angle = jnp.pi * direction
    along = grid @ jnp.stack([jnp.cos(angle), jnp.sin(angle)])
    along += 0.03 * jnp.sin(9 * grid[..., 0] + 7 * grid[..., 1] + direction)
    happens = (event > EVENT) & (difficulty > 0)
    return happens * jax.nn.sigmoid((along - reach) / soft)

  dark = side(shadow[0], shadow[1], 0.15 + 0.1 * shadow[2], 0.03)
  image = image * (1 - difficulty * dark * (0.5 + 0.12 * shadow[3]))[..., None]
  mask = side(
    occluder[0],
    occluder[1],
    0.5 - difficulty * (0.12 + 0.05 * occluder[2]),
    0.006,
  )[..., None]
  colour = 0.05 * jnp.exp(0.6 * occluder[3] + 0.4 * occluder[4:7])
  return image * (1 - mask) + mask * colour


def develop(image, camera, device, noise_key, *, difficulty):
  """Pixels [S, S, 3] in [-1, 1] from linear radiance.

  Args:
    image: [S, S, 3] linear.
    camera: [9] latents of the sample in [-2, 2].
    device: [9] latents of the device in [-2, 2].
    noise_key: random key.
    difficulty: scalar in [0, 1].
  """
  d = difficulty
  size = image.shape[0]
  # Partly automatic exposure: dark skin stays dark, but not black.
  level = jnp.mean(image @ jnp.asarray(LUMA)) + 1e-3
  exposure = 0.45 * (level / 0.35) ** 0.7 / level
  exposure *= jnp.exp(d * (0.24 * camera[0] + 0.14 * device[0]))
  balance = d * (
    jnp.asarray([0.07, 0.0, -0.09]) * (camera[1] + device[1])
    + jnp.asarray([0.0, 0.04, 0.0]) * (camera[2] + device[2])
  )
  image = image * exposure * jnp.exp(balance)
  squared = jnp.sum((render.pixel_grid(size) - 0.5) ** 2, axis=-1)
  vignette = d * (0.25 + 0.12 * (device[3] + 0.5 * camera[3]))
  image = image * (1 - jnp.maximum(vignette, 0) * squared)[..., None]

  gamma = jnp.exp(d * (0.16 * device[4] + 0.14 * camera[4]))
  image = jnp.maximum(image, 1e-4) ** (gamma / 2.2)
  # A shoulder from .8 on: highlights saturate without a hard edge.
  image = jnp.where(image > 0.8, 1 - 0.2 * jnp.exp(-(image - 0.8) / 0.2), image)
  gray = image @ jnp.asarray(LUMA)
  saturation = jnp.exp(d * (0.12 * device[5] + 0.1 * camera[5]))
  image = gray[..., None] + saturation * (image - gray[..., None])

  strength = 0.003 + d * 0.012 * jnp.exp(0.5 * (device[6] + camera[6]))
  image += strength * jax.random.normal(noise_key, image.shape)
  coding = 0.04 + d * 0.16 * jnp.exp(0.5 * (device[7] + camera[7]))
  image = block_coding(image, coding)
  return jnp.clip(2 * image - 1, -1.0, 1.0)


def block_coding(image, strength):
  """JPEG-like loss: 8×8 cosine transform of Y, Cb, Cr, softly quantised.

  Args:
    image: [S, S, 3] in [0, 1]; a side that 8 does not divide is padded.
    strength: scalar; 1 is about JPEG quality 50.

  Returns:
    [S, S, 3].
  """
  size = image.shape[0]
  pad = -size % BLOCK
  image = jnp.pad(image, ((0, pad), (0, pad), (0, 0)), mode='edge')
  blocks = (size + pad) // BLOCK
  to_ycc = jnp.asarray(
    [LUMA, (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312)]
  )
  ycc = jnp.moveaxis(image @ to_ycc.T, -1, 0)
  ycc = ycc.reshape(3, blocks, BLOCK, blocks, BLOCK)
  k = jnp.arange(BLOCK)
  dct = jnp.cos(jnp.pi / BLOCK * (k + 0.5) * k[:, None]) / 2
  dct = dct.at[0].divide(jnp.sqrt(2.0))
  order = k[:, None] + k
  table = jnp.stack([10 + 7.0 * order, 17 + 12.0 * order, 17 + 12.0 * order])
  table = strength * jnp.minimum(table, 99)[:, None, :, None, :] / 255
  coded = jnp.einsum('ui,cxiyj,vj->cxuyv', dct, ycc, dct) / table
  coded -= jnp.sin(2 * jnp.pi * coded) / (2 * jnp.pi)
  ycc = jnp.einsum('ui,cxuyv,vj->cxiyj', dct, coded * table, dct)
  ycc = jnp.moveaxis(ycc.reshape(3, size + pad, size + pad), 0, -1)
  return (ycc @ jnp.linalg.inv(to_ycc).T)[:size, :size]

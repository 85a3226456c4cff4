"""Random changes of labelled palms that leave the identity alone, in JAX.

For each image on its own: rotation, scale, shift and perspective as one
homography (sampled once, bilinear, reflected at the border), blur, contrast
about the image's mean, brightness, noise, and a rectangle erased. No mirror by
default: a mirrored left palm is a right palm, which is another identity.
CN111860424A names augmentation but no kinds: these are ours; random erasing is
arXiv:1708.04896.
"""

import functools

import jax
import jax.numpy as jnp

from palmjax.ops import blur as blurs
from palmjax.ops import erase as erasing
from palmjax.ops import warp

# Area of an erased rectangle, share of the image.
_ERASED = (0.02, 0.15)


def make_augment(
  *,
  rotation,
  shift,
  scale,
  perspective,
  brightness,
  contrast,
  blur,
  noise,
  erase,
  mirror=False,
):
  """Builds the augmentation; every strength 0 leaves images untouched.

  Args:
    rotation: standard deviation in degrees.
    shift: standard deviation along each axis, share of the side.
    scale: standard deviation of the log of the size.
    perspective: standard deviation of the two perspective terms: at 0.1 the
      far border is about 5 % smaller and the near border 5 % larger.
    brightness: standard deviation of what is added, images being in [-1, 1].
    contrast: standard deviation of the log of the factor.
    blur: largest standard deviation of the Gaussian in pixels; uniform from 0.
    noise: largest standard deviation of white noise; uniform from 0.
    erase: probability that a rectangle of one random colour covers a part.
    mirror: whether half of the images are mirrored, left to right.

  Returns:
    augment(key, images float32 [B, H, W, 3] in [-1, 1]) -> the same shape and
    range. What happens to an image depends on the key and its position, not
    on the other images of the batch or their number.

  Raises:
    ValueError: a negative strength, or a probability above 1.
  """
  strengths = {
    'rotation': rotation,
    'shift': shift,
    'scale': scale,
    'perspective': perspective,
    'brightness': brightness,
    'contrast': contrast,
    'blur': blur,
    'noise': noise,
    'erase': erase,
  }
  for name, value in strengths.items():
    if value < 0 or (name == 'erase' and value > 1):
      raise ValueError(
        f'{name}={value}: give '
        + ('a probability, 0 to 1' if name == 'erase' else '0 or more')
      )

  def augment(key, images):
    # One key for each image, which the size of the batch does not enter.
    keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(
      jnp.arange(len(images))
    )
    keys = jax.vmap(lambda k: jax.random.split(k, 3))(keys)
    # All numbers but the noise in two draws: random bits are slow to compile.
    normal = jax.vmap(lambda k: jax.random.normal(k, (8,)))(keys[:, 0])
    uniform = jax.vmap(lambda k: jax.random.uniform(k, (11,)))(keys[:, 1])

    # Strengths are Python numbers: what is 0 costs nothing and changes nothing.
    if rotation or shift or scale or perspective or mirror:
      flip = jnp.where(mirror & (uniform[:, 0] < 0.5), -1.0, 1.0)
      matrices = _matrices(
        flip=flip,
        tilt=perspective * normal[:, 0:2],
        angle=jnp.deg2rad(rotation) * normal[:, 2],
        size=jnp.exp(scale * normal[:, 3]),
        move=shift * normal[:, 4:6],
      )
      images = warp.homography(images, matrices)
    if blur:
      images = blurs.gaussian(images, blur * uniform[:, 1], border='symmetric')
    if brightness or contrast:
      factor = _each(jnp.exp(contrast * normal[:, 6]))
      mean = jnp.mean(images, axis=(1, 2, 3), keepdims=True)
      images = (images - mean) * factor + mean
      images += _each(brightness * normal[:, 7])
    if noise:
      white = jax.vmap(lambda k: jax.random.normal(k, images.shape[1:]))
      images += _each(noise * uniform[:, 2]) * white(keys[:, 2])
    if erase:
      covered = erasing.random_rectangles(
        uniform[:, 3:7], images.shape[1:3], area=_ERASED
      )
      covered &= (uniform[:, 7] < erase)[:, None, None]
      colour = 2 * uniform[:, None, None, 8:11] - 1
      images = jnp.where(covered[..., None], colour, images)
    if brightness or contrast or noise:
      images = jnp.clip(images, -1.0, 1.0)
    return images

  return augment


# `make_augment` without geometry.
make_light = functools.partial(
  make_augment, rotation=0, shift=0, scale=0, perspective=0
)


def _each(values):
  """One number for each image: [B] as [B, 1, 1, 1]."""
  return values[:, None, None, None]


def _matrices(*, flip, tilt, angle, size, move):
  """Homographies [B, 3, 3], output to input coordinates."""
  # At 0.45 along both axes the horizon is still outside the image.
  tilt = jnp.clip(tilt, -0.45, 0.45)
  return warp.compose(
    warp.scaling(flip, jnp.ones_like(flip)),
    warp.perspective(tilt[:, 0], tilt[:, 1]),
    warp.rotation(-angle),
    warp.scaling(1 / size, 1 / size),
    warp.translation(-move[:, 0], -move[:, 1]),
  )

"""Random changes of labelled palms that leave the identity alone, in JAX.

For each image on its own: rotation, scale, shift and perspective as one
homography (sampled once, bilinear, reflected at the border), blur, contrast
about the image's mean, brightness, noise, and a rectangle erased. No mirror by
default: a mirrored left palm is a right palm, which is another identity.
The source names augmentation but no kinds (METHODS §1.5, 1a): these are ours;
random erasing is arXiv:1708.04896.
"""

import jax
import jax.numpy as jnp

from palmjax.ops import warp

# Area of an erased rectangle, share of the image, and its largest aspect ratio.
_ERASE_AREA = (0.02, 0.15)
_ERASE_ASPECT = 3.0


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
        f'--config.augment.{name}={value}: give '
        + ('a probability, 0 to 1' if name == 'erase' else '0 or more')
      )

  def augment(key, images):
    # Strengths are Python numbers: what is 0 costs nothing and changes nothing.
    if rotation or shift or scale or perspective or mirror:
      keys = _keys(key, 0, len(images))
      matrices = jax.vmap(
        lambda k: _matrix(k, rotation, shift, scale, perspective, mirror)
      )(keys)
      images = warp.homography(images, matrices)
    if blur:
      sigma = jax.vmap(lambda k: jax.random.uniform(k, maxval=blur))(
        _keys(key, 1, len(images))
      )
      images = _blur(images, sigma, radius=max(1, round(2.5 * blur)))
    if brightness or contrast:
      images = _light(_keys(key, 2, len(images)), images, brightness, contrast)
    if noise:
      images += jax.vmap(lambda k: _noise(k, images.shape[1:], noise))(
        _keys(key, 3, len(images))
      )
    if erase:
      images = jax.vmap(lambda k, x: _erase(k, x, erase))(
        _keys(key, 4, len(images)), images
      )
    if brightness or contrast or noise:
      images = jnp.clip(images, -1.0, 1.0)
    return images

  return augment


def _keys(key, purpose, count):
  """One key for each image, which `count` does not enter."""
  key = jax.random.fold_in(key, purpose)
  return jax.vmap(lambda i: jax.random.fold_in(key, i))(jnp.arange(count))


def _matrix(key, rotation, shift, scale, perspective, mirror):
  """A random homography [3, 3], output to input coordinates."""
  keys = jax.random.split(key, 5)
  angle = jnp.deg2rad(rotation) * jax.random.normal(keys[0])
  x, y = shift * jax.random.normal(keys[1], (2,))
  size = jnp.exp(scale * jax.random.normal(keys[2]))
  # At 0.45 along both axes the horizon is still outside the image.
  tilt = jnp.clip(perspective * jax.random.normal(keys[3], (2,)), -0.45, 0.45)
  flip = jnp.where(jax.random.bernoulli(keys[4]) & mirror, -1.0, 1.0)
  return (
    warp.scaling(flip, 1.0)
    @ warp.perspective(tilt[0], tilt[1])
    @ warp.rotation(-angle)
    @ warp.scaling(1 / size, 1 / size)
    @ warp.translation(-x, -y)
  )


def _blur(images, sigma, radius):
  """Gaussian blur, each image with its own sigma [B] in pixels."""
  taps = jnp.arange(-radius, radius + 1, dtype=jnp.float32)
  # Below a twentieth of a pixel the Gaussian is one tap: no division by zero.
  sigma = jnp.maximum(sigma, 0.05)[:, None]
  weights = jnp.exp(-0.5 * jnp.square(taps / sigma))
  weights /= jnp.sum(weights, axis=1, keepdims=True)
  for axis in (1, 2):
    # Shifted multiply-adds: kernels differ between images, and XLA on CPU runs
    # a grouped convolution far slower.
    width = [(0, 0)] * 4
    width[axis] = (radius, radius)
    padded = jnp.pad(images, width, mode='symmetric')
    size = images.shape[axis]
    images = sum(
      weights[:, t, None, None, None]
      * jax.lax.slice_in_dim(padded, t, t + size, axis=axis)
      for t in range(2 * radius + 1)
    )
  return images


def _light(keys, images, brightness, contrast):
  keys = jax.vmap(lambda k: jax.random.split(k))(keys)
  offset = brightness * jax.vmap(jax.random.normal)(keys[:, 0])
  factor = jnp.exp(contrast * jax.vmap(jax.random.normal)(keys[:, 1]))
  mean = jnp.mean(images, axis=(1, 2, 3), keepdims=True)
  factor = factor[:, None, None, None]
  return (images - mean) * factor + mean + offset[:, None, None, None]


def _noise(key, shape, noise):
  keys = jax.random.split(key)
  sigma = jax.random.uniform(keys[0], maxval=noise)
  return sigma * jax.random.normal(keys[1], shape)


def _erase(key, image, probability):
  """Covers a random rectangle of an image [H, W, C] with one colour."""
  height, width, channels = image.shape
  keys = jax.random.split(key, 5)
  low, high = _ERASE_AREA
  area = jax.random.uniform(keys[0], minval=low, maxval=high)
  limit = jnp.log(_ERASE_ASPECT) / 2
  aspect = jnp.exp(jax.random.uniform(keys[1], minval=-limit, maxval=limit))
  half = 0.5 * jnp.sqrt(area) * jnp.array([aspect, 1 / aspect])
  # The centre is uniform over the image: a rectangle may leave it.
  centre = jax.random.uniform(keys[2], (2,))
  rows = (jnp.arange(height) + 0.5) / height
  columns = (jnp.arange(width) + 0.5) / width
  covered = (
    (jnp.abs(rows - centre[0]) < half[0])[:, None]
    & (jnp.abs(columns - centre[1]) < half[1])[None, :]
    & jax.random.bernoulli(keys[3], probability)
  )
  colour = jax.random.uniform(keys[4], (channels,), minval=-1.0, maxval=1.0)
  return jnp.where(covered[..., None], colour, image)

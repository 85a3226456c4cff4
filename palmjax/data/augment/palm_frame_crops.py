"""Training crops of palm frames that are a little off (`images.palm_frame`).

A network that learned such crops sees where the palm frame should be.
"""

import chex
import jax
import jax.numpy as jnp
import numpy as np

from palmjax.data.augment import boxes as box_augment
from palmjax.data.augment import palms as palm_augment
from palmjax.images import palm_frame
from palmjax.ops import pixels, warp

# Palm frames are off by no more than so many standard deviations.
_MOST = 2.5
# A pixel of a training crop is the mean of TAPS × TAPS places.
_TAPS = 2


def make_crops(
  *,
  size,
  angle,
  scale,
  shift,
  saturation,
  hue,
  grey,
  brightness,
  contrast,
  blur,
  noise,
  erase,
):
  """Builds the crops that a network learns from, of palm frames that are off.

  Args:
    size: side of the crops in pixels.
    angle: standard deviation of the palm frames' error in degrees.
    scale: likewise of the log of the size.
    shift: likewise along each axis, in distances of the valleys.
    saturation, hue, grey, brightness, contrast, blur, noise, erase: see
      `data.augment.boxes.make_augment`; here rectangles are erased of crops.

  Returns:
    crops(key, batch) -> {'image': float32 [B, size, size, 3] in [-1, 1],
    'points': [B, 3, 2], (x, y) in sides from the centre of the crop, left
    valley first, 'facing': bool [B], 'present': bool [B]}; batch: image uint8
    [B, S, S, 3], points [B, M, 3, 2] in pixels, framed and facing bool [B, M].
    Of each image one framed hand at random; without one it is not present. Half
    of the crops are mirrored. What happens to an image depends on the key and
    its position, not on the other images of the batch or their number.

  Raises:
    ValueError: a negative strength, or a probability above 1.
  """
  for name, value in {'angle': angle, 'scale': scale, 'shift': shift}.items():
    if value < 0:
      raise ValueError(f'{name}={value}: give 0 or more')
  recolour = box_augment.make_recolour(
    saturation=saturation, hue=hue, grey=grey
  )
  change_light = palm_augment.make_light(
    brightness=brightness,
    contrast=contrast,
    blur=blur,
    noise=noise,
    erase=erase,
  )

  def crops(key, batch):
    count, side = batch['image'].shape[:2]
    chex.assert_shape(batch['points'], (count, None, 3, 2))
    own_key, light_key = jax.random.split(key)
    # One key for each image, which the size of the batch does not enter.
    keys = jax.vmap(lambda i: jax.random.fold_in(own_key, i))(jnp.arange(count))
    keys = jax.vmap(jax.random.split)(keys)
    normal = jax.vmap(
      lambda k: jax.random.truncated_normal(k, -_MOST, _MOST, (6,))
    )(keys[:, 0])
    uniform = jax.vmap(lambda k: jax.random.uniform(k, (3,)))(keys[:, 1])

    index, present = _choose(batch['framed'], uniform[:, 0])
    rows = jnp.arange(count)
    points = batch['points'][rows, index]
    # Anywhere, but a map with an inverse.
    points = jnp.where(present[:, None, None], points, _SOMEWHERE * side)
    matrices = warp.compose(
      palm_frame.transform(points),
      warp.translation(
        shift / palm_frame.SIDE * normal[:, 0],
        shift / palm_frame.SIDE * normal[:, 1],
      ),
      warp.rotation(jnp.deg2rad(angle) * normal[:, 2]),
      warp.scaling(*[jnp.exp(scale * normal[:, 3])] * 2),
      warp.scaling(jnp.where(uniform[:, 1] < 0.5, -1.0, 1.0), jnp.ones(count)),
    )
    images = _cut(pixels.to_float(batch['image']), matrices, size)
    images = recolour(images, normal[:, 4], normal[:, 5], uniform[:, 2])
    return {
      'image': change_light(light_key, images),
      'points': palm_frame.by_side(
        palm_frame.apply(palm_frame.inverse(matrices), points)
      ),
      'facing': batch['facing'][rows, index] & present,
      'present': present,
    }

  return crops


# In sides of an image: the palm frame of those that show none.
_SOMEWHERE = np.array([[0.4, 0.4], [0.6, 0.4], [0.5, 0.8]], np.float32)


def _choose(framed, uniform):
  """One of the framed hands [B, M], at random [B]: (int [B], bool [B])."""
  number = jnp.sum(framed, axis=1)
  wanted = jnp.floor(uniform * number)[:, None] + 1
  chosen = framed & (jnp.cumsum(framed, axis=1) == wanted)
  return jnp.argmax(chosen, axis=1), number > 0


def _cut(images, matrices, size):
  """Crops [B, size, size, 3]; grey beyond the border of the images."""
  count, height, width, channels = images.shape
  place = warp.grid(size * _TAPS, size * _TAPS)
  place = palm_frame.apply(matrices, place.reshape(-1, 2))
  place = place.reshape(count, size * _TAPS, size * _TAPS, 2)
  place = place / jnp.array([width, height]) - 0.5
  inside = jnp.all(jnp.abs(place) < 0.5, axis=-1, keepdims=True)
  read = jnp.where(inside, warp.warp(images, place), 0.0)
  read = read.reshape(count, size, _TAPS, size, _TAPS, channels)
  return read.mean(axis=(2, 4))

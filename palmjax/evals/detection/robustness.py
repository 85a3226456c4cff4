"""How detection holds under attack: the worst attack of each radius.

An attack within a radius is also one within every larger radius. So the AP50
under attack at a radius is the lowest of all attacks at that radius or below:
it falls as the radius grows. No single attack is reported as robustness.

Corruptions are what cameras and files do: noise, blur, JPEG, brightness and
contrast at five strengths (the idea of arXiv:1903.12261; own strengths).
"""

import io
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from PIL import Image

from palmjax.ops import blur

# Strength → what changes, from weak to strong.
NOISE = (0.02, 0.04, 0.08, 0.12, 0.18)  # standard deviation, share of range
BLUR = (0.5, 1.0, 1.5, 2.0, 3.0)  # standard deviation, px at 96 px
JPEG = (60, 35, 20, 12, 7)  # quality
BRIGHTNESS = (0.05, 0.1, 0.2, 0.3, 0.4)  # added, share of range
CONTRAST = (0.7, 0.5, 0.35, 0.25, 0.15)  # factor of the distance from the mean
_BLUR_SIDE = 96


class Worst(NamedTuple):
  """The strongest attack within a radius.

  Attributes:
    attack: its name.
    radius: where it was made, at most the radius asked for.
  """

  attack: str
  radius: float


def worst(values):
  """The strongest attack at each radius.

  Args:
    values: {(attack, radius): AP50 under it}.

  Returns:
    {radius: `Worst`}, radii rising.
  """
  strongest, best = {}, None
  for radius in sorted({radius for _, radius in values}):
    for (attack, at), value in values.items():
      if at == radius and (best is None or value < values[best]):
        best = (attack, at)
    strongest[radius] = Worst(*best)
  return strongest


def corruptions():
  """{name: strengths}, in the order of `corrupt`."""
  return {
    'noise': NOISE,
    'blur': BLUR,
    'jpeg': JPEG,
    'brightness': BRIGHTNESS,
    'contrast': CONTRAST,
  }


def corrupt(images, name, strength, *, seed=0):
  """Images after a corruption.

  Args:
    images: uint8 [N, S, S, 3].
    name: of `corruptions`.
    strength: one of its values.
    seed: of the noise.

  Returns:
    uint8 [N, S, S, 3].

  Raises:
    ValueError: another name.
  """
  match name:
    case 'noise':
      rng = np.random.default_rng(seed)
      changed = images + 255 * strength * rng.standard_normal(images.shape)
    case 'blur':
      sigma = strength * images.shape[1] / _BLUR_SIDE
      changed = np.asarray(
        blur.gaussian(
          jnp.asarray(images, jnp.float32),
          jnp.float32(sigma),
          border='symmetric',
        )
      )
    case 'jpeg':
      return np.stack([_jpeg(image, strength) for image in images])
    case 'brightness':
      changed = images + 255.0 * strength
    case 'contrast':
      mean = images.mean(axis=(1, 2, 3), keepdims=True)
      changed = mean + strength * (images - mean)
    case _:
      raise ValueError(
        f'corruption {name}: choose one of {", ".join(corruptions())}'
      )
  return np.clip(np.round(changed), 0, 255).astype(np.uint8)


def _jpeg(image, quality):
  file = io.BytesIO()
  Image.fromarray(image).save(file, 'JPEG', quality=quality)
  return np.asarray(Image.open(file).convert('RGB'))

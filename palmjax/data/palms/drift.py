"""Drift of the pictures that a device takes: light, skin, camera.

A device is installed once, and then a lamp ages, winter dries skin, a lens
gets dusty. Each knob goes from 0, nothing, to 1, as far as it goes here:

  light     values ×0.55, a lamp from one side (±55 % from border to border, in
            a direction with a standard deviation of 30° from picture to
            picture), red +15 % and blue −15 %
  dryness   fine relief (below 0.025 of the side) 2.2 times as strong, and pale
            flakes where the relief is high, up to 0.12 of the range
  camera    blur of 0.016 of the side (standard deviation), noise of 0.02 of
            the range, contrast ×0.8

The numbers are our choice. What they cost is measured by the recipe `distill`,
on drawn palms; no camera was measured.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from palmjax.ops import blur, pixels

_LEVEL, _GRADIENT, _WARMTH = 0.55, 0.55, 0.3
_SPREAD = 30.0  # degrees
_FINE, _RELIEF, _FLAKES = 0.025, 1.2, 0.12
_BLUR, _NOISE, _CONTRAST = 0.016, 0.02, 0.8


class Drift(NamedTuple):
  """How far a device has drifted; scalars in [0, 1], may be traced."""

  light: float = 0.0
  dryness: float = 0.0
  camera: float = 0.0


@jax.jit
def apply(images, changes, key):
  """Pictures as a device takes them that has drifted.

  Args:
    images: uint8 [N, S, S, 3].
    changes: `Drift`.
    key: random key: each picture has its own direction of light, and noise.

  Returns:
    uint8 [N, S, S, 3]; with 0 for each knob the same bits.
  """
  side = images.shape[1]
  keys = jax.random.split(key, 3)
  x = pixels.to_float(images) / 2 + 0.5
  x = _dry(x, changes.dryness, keys[0], side)
  x = _light(x, changes.light, keys[1], side)
  x = _camera(x, changes.camera, keys[2], side)
  drifted = pixels.to_uint8(2 * x - 1)
  # Rounding of the way there and back must not count as drift.
  still = (changes.light == 0) & (changes.dryness == 0) & (changes.camera == 0)
  return jnp.where(still, images, drifted)


def _dry(x, amount, key, side):
  grey = jnp.mean(x, axis=-1, keepdims=True)
  fine = grey - _blurred(grey, _FINE * side)
  flakes = _blurred(jax.random.normal(key, grey.shape), 0.03 * side)
  flakes /= jnp.std(flakes, axis=(1, 2), keepdims=True)
  # Scales stand off between the creases, where the relief is high.
  pale = jnp.clip(flakes - 1.0, 0, 1) * jnp.clip(0.5 + 8 * fine, 0, 1)
  return x + amount * (_RELIEF * fine + _FLAKES * pale)


def _light(x, amount, key, side):
  angle = jnp.deg2rad(
    _SPREAD * jax.random.normal(key, (len(x), 1, 1, 1)) + 45.0
  )
  places = jnp.linspace(-0.5, 0.5, side)
  across = (
    jnp.cos(angle) * places[None, None, :, None]
    + jnp.sin(angle) * places[None, :, None, None]
  ) / (jnp.abs(jnp.cos(angle)) + jnp.abs(jnp.sin(angle)))
  gain = 1 + amount * (_LEVEL - 1 + 2 * _GRADIENT * _LEVEL * across)
  warm = 1 + amount * _WARMTH * jnp.array([0.5, 0.0, -0.5])
  return x * gain * warm


def _camera(x, amount, key, side):
  x = _blurred(x, amount * _BLUR * side)
  x = 0.5 + (1 - amount * (1 - _CONTRAST)) * (x - 0.5)
  return x + amount * _NOISE * jax.random.normal(key, x.shape)


def _blurred(x, sigma):
  return blur.gaussian(x, jnp.asarray(sigma), border='symmetric')

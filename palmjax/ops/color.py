"""Colour transforms as 4 × 4 matrices on (r, g, b, 1).

Colours are in [−1, 1]; the luma axis is v = (1, 1, 1) / √3, grey stays grey
under a turn about it. Matrices that act one after the other, first A then B,
compose as B @ A. Formulas: ADA (arXiv:2006.06676, app. B).
"""

import chex
import jax.numpy as jnp
import numpy as np

_LUMA = np.outer([1.0, 1.0, 1.0, 0.0], [1.0, 1.0, 1.0, 0.0]) / 3
# Cross product with the luma axis: turns the plane of equal luma by 90°.
_TURN = np.zeros((4, 4))
_TURN[:3, :3] = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / np.sqrt(3)


def apply(images, matrices):
  """Transforms the colours of every image by its own matrix.

  Args:
    images: float [B, H, W, C], RGB, or grey with C = 1. A grey image is taken
      as r = g = b and the mean of the three results is returned.
    matrices: float [B, 4, 4].

  Returns:
    float [B, H, W, C], not clipped.
  """
  chex.assert_rank(images, 4)
  batch, *_, channels = images.shape
  chex.assert_shape(matrices, (batch, 4, 4))
  if channels not in (1, 3):
    raise ValueError(f'{channels} channels: images must be RGB (3) or grey (1)')
  linear, offset = matrices[:, :3, :3], matrices[:, :3, 3]
  if channels == 1:
    scale = linear.sum(axis=-1).mean(axis=-1)
    shift = offset.mean(axis=-1)
    return images * scale[:, None, None, None] + shift[:, None, None, None]
  # Three products and sums per colour: as a matrix product of inner size 3
  # this is slower, and TF32 or bfloat16 would round the colours.
  mixed = sum(
    images[..., None, k] * linear[:, None, None, :, k] for k in range(3)
  )
  return mixed + offset[:, None, None, :]


def brightness(shift):
  """[..., 4, 4] that adds `shift` [...] to every colour."""
  offset = jnp.asarray(shift, jnp.float32)[..., None, None]
  return jnp.eye(4) + offset * np.outer([1, 1, 1, 0], [0, 0, 0, 1])


def contrast(factor):
  """[..., 4, 4] that multiplies every colour by `factor` [...]."""
  factor = jnp.asarray(factor, jnp.float32)[..., None, None]
  return factor * np.diag([1, 1, 1, 0]) + np.diag([0, 0, 0, 1])


def luma_flip(flag):
  """[..., 4, 4] that negates luma, not chroma, where `flag` [...] is 1."""
  flag = jnp.asarray(flag, jnp.float32)[..., None, None]
  return jnp.eye(4) - 2 * flag * _LUMA


def hue(angle):
  """[..., 4, 4] that turns colours about the luma axis by `angle`, radians."""
  angle = jnp.asarray(angle, jnp.float32)[..., None, None]
  plane = np.eye(4) - _LUMA - np.diag([0, 0, 0, 1])
  turned = jnp.cos(angle) * plane + jnp.sin(angle) * _TURN
  return turned + _LUMA + np.diag([0, 0, 0, 1])


def saturation(factor):
  """[..., 4, 4] that multiplies chroma, not luma, by `factor` [...]."""
  factor = jnp.asarray(factor, jnp.float32)[..., None, None]
  plane = np.eye(4) - _LUMA - np.diag([0, 0, 0, 1])
  return factor * plane + _LUMA + np.diag([0, 0, 0, 1])

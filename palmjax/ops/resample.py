"""Resampling by two with the filter [1, 3, 3, 1] ⊗ [1, 3, 3, 1].

StyleGAN2's resampling (arXiv:1912.04958, app. B): zeros are inserted or every
second value is dropped, the filter runs before or after. Its polyphase form
needs no zeros: along each axis, with x held beyond the border,

  up    y[2i] = (x[i−1] + 3 x[i]) / 4,    y[2i+1] = (3 x[i] + x[i+1]) / 4
  down  y[i] = (x[2i−1] + 3 x[2i] + 3 x[2i+1] + x[2i+2]) / 8

Both keep a constant and do not shift the picture. StyleGAN2 pads with zeros:
its images fade to grey at the border until the network has learnt not to.
Written as shifted sums because XLA runs depthwise convolutions badly on CPU.
Both are linear, hence differentiable any number of times.
"""

import chex
import jax.numpy as jnp
from jax import lax


def upsample(images):
  """Upsamples images by two: float [B, H, W, C] → [B, 2H, 2W, C]."""
  chex.assert_rank(images, 4)
  return _upsample_axis(_upsample_axis(images, 1), 2)


def downsample(images):
  """Downsamples images by two: float [B, H, W, C] → [B, H/2, W/2, C]."""
  chex.assert_rank(images, 4)
  _, height, width, _ = images.shape
  if height % 2 or width % 2:
    raise ValueError(
      f'cannot halve {height} x {width} images: both sizes must be even'
    )
  return _downsample_axis(_downsample_axis(images, 1), 2)


def _upsample_axis(x, axis):
  before, after = _neighbours(x, x, axis)
  pairs = jnp.stack(
    [0.75 * x + 0.25 * before, 0.75 * x + 0.25 * after], axis=axis + 1
  )
  shape = list(x.shape)
  shape[axis] *= 2
  return pairs.reshape(shape)


def _downsample_axis(x, axis):
  shape = list(x.shape)
  shape[axis : axis + 1] = [x.shape[axis] // 2, 2]
  pairs = x.reshape(shape)
  even = lax.index_in_dim(pairs, 0, axis + 1, keepdims=False)
  odd = lax.index_in_dim(pairs, 1, axis + 1, keepdims=False)
  before, after = _neighbours(even, odd, axis)
  return 0.375 * (even + odd) + 0.125 * (before + after)


def _neighbours(first, last, axis):
  """What precedes and follows each group of values along `axis`.

  `first` and `last` are the first and last value of every group; the border
  is held: before the first group comes its own first value.
  """

  def cut(x, start, stop):
    return lax.slice_in_dim(x, start, stop, axis=axis)

  size = first.shape[axis]
  before = [cut(first, 0, 1), cut(last, 0, size - 1)]
  after = [cut(first, 1, size), cut(last, size - 1, size)]
  return jnp.concatenate(before, axis), jnp.concatenate(after, axis)

"""Residual discriminator of the StyleGAN2 class (arXiv:1912.04958)."""

from typing import Any

import chex
import flax.linen as nn
import jax.numpy as jnp

from palmjax.models import layers
from palmjax.ops import resample


class Discriminator(nn.Module):
  """Images to logits, high for real ones.

  Attributes:
    image_size: 4, 5, 6 or 7 times a power of two.
    fmap_base: channels at stage s are min(fmap_base / 2^s, fmap_max), s = 1 at
      the smallest resolution.
    fmap_max: see `fmap_base`.
    group_size: of the minibatch standard deviation.
    dtype: of the convolutions; logits are float32.
  """

  image_size: int
  fmap_base: int = 16384
  fmap_max: int = 512
  group_size: int = 4
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, images, *, batches=1):
    """Judges images.

    Args:
      images: float [B, H, W, C] in [−1, 1].
      batches: the images are so many batches of one size, one after the other;
        the deviation does not see two of them in one group.

    Returns:
      Logits, float32 [B].
    """
    size = self.image_size
    chex.assert_shape(images, (None, size, size, None))
    widths = [
      layers.channels(s, fmap_base=self.fmap_base, fmap_max=self.fmap_max)
      for s in range(1, len(layers.resolutions(size)) + 1)
    ]
    x = layers.Conv(widths[-1], 1, dtype=self.dtype)(images)
    x = layers.leaky_relu(x)
    for before, after in zip(widths[:0:-1], widths[-2::-1], strict=True):
      y = layers.leaky_relu(layers.Conv(before, 3, dtype=self.dtype)(x))
      y = layers.Conv(after, 3, dtype=self.dtype)(resample.downsample(y))
      x = layers.Conv(after, 1, use_bias=False, dtype=self.dtype)(
        resample.downsample(x)
      )
      x = (x + layers.leaky_relu(y)) * jnp.asarray(0.5**0.5, self.dtype)
    x = x.astype(jnp.float32)
    deviation = jnp.concatenate(
      [
        minibatch_deviation(batch, self.group_size)
        for batch in jnp.split(x, batches)
      ]
    )
    x = layers.Conv(widths[0], 3)(jnp.concatenate([x, deviation], axis=-1))
    x = layers.leaky_relu(x).reshape(x.shape[0], -1)
    x = layers.leaky_relu(layers.Dense(widths[0])(x))
    return layers.Dense(1)(x)[:, 0]


def minibatch_deviation(x, group_size):
  """One feature that tells how much the images of a group differ.

  Images n, n + B/g, n + 2B/g, … form a group of size g, the largest divisor
  of B up to `group_size`. The feature is √(variance + 1e−8) over the group,
  averaged over places and channels (arXiv:1710.10196, sec. 3).

  Args:
    x: float [B, H, W, C].
    group_size: at least 1.

  Returns:
    float [B, H, W, 1], constant within a group.
  """
  chex.assert_rank(x, 4)
  batch, height, width, _ = x.shape
  group = next(g for g in range(group_size, 0, -1) if batch % g == 0)
  grouped = x.reshape(group, batch // group, -1)
  deviation = jnp.sqrt(grouped.var(axis=0) + 1e-8).mean(axis=-1)
  feature = jnp.tile(deviation, group)[:, None, None, None]
  return jnp.broadcast_to(feature, (batch, height, width, 1))

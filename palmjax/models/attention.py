"""Spatial attention: which places of a map count (CBAM, arXiv:1807.06521).

  F' = F · σ(BN(k * [max_c F ; mean_c F])),   k: 7×7, two channels to one

Against occlusion: what hides a part of the palm can be weighted down before
the map becomes one vector. 98 weights and BatchNorm's two.
"""

import chex
import jax
import jax.numpy as jnp
from flax import linen as nn

from palmjax.models import batch_norm
from palmjax.ops.conv import dispatch as conv

WINDOW = 7


class SpatialAttention(nn.Module):
  """Multiplies every place of a map by a weight in (0, 1).

  Attributes:
    train: normalise with the batch's statistics and update the running ones.
  """

  train: bool

  @nn.compact
  def __call__(self, x):
    """x: [B, H, W, C] → the same; the weights are computed in float32."""
    chex.assert_rank(x, 4)
    wide = x.astype(jnp.float32)
    summary = jnp.stack([jnp.max(wide, -1), jnp.mean(wide, -1)], axis=-1)
    kernel = self.param(
      'kernel', nn.initializers.lecun_normal(), (WINDOW, WINDOW, 2, 1)
    )
    weights = conv.convolve(summary, kernel)
    weights = batch_norm.normalise(
      self, weights, train=self.train, activation='none'
    )
    return (wide * jax.nn.sigmoid(weights)).astype(x.dtype)

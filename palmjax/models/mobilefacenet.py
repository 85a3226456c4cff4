"""MobileFaceNet: a light embedding network (arXiv:1804.07573).

Convolution 3×3, depthwise 3×3, then inverted bottlenecks (1×1 expansion,
depthwise 3×3, linear 1×1 projection, identity where the shape allows it), 1×1
to 512 channels, a depthwise window as large as the map in place of pooling, and
a linear 1×1 to the embedding. Every convolution is followed by BatchNorm and,
if it is not linear, by PReLU with one slope a channel; there are no biases.

  input 112²×3 → 56²×64 → 28²×64 → 14²×128 → 7²×128 → 7²×512 → 512 → embedding

1,003,136 parameters with embeddings of 128 (1,200,512 with 512) at 112×112×3,
BatchNorm's scale and shift and the slopes included.
"""

import functools
import itertools
from typing import Any

import jax.numpy as jnp
from flax import linen as nn

from palmjax.models import attention, batch_norm, layers

# (expansion, features, blocks, stride of the first block)
BOTTLENECKS = (
  (2, 64, 5, 2),
  (4, 128, 1, 2),
  (2, 128, 6, 1),
  (4, 128, 1, 2),
  (2, 128, 2, 1),
)
STEM_FEATURES = 64
HEAD_FEATURES = 512


class MobileFaceNet(nn.Module):
  """Images → embeddings, not normalised.

  Attributes:
    embedding_size: length of an embedding.
    attention: spatial attention before the last depthwise window.
    width: factor of every other channel count (rounded to multiples of 8).
    dtype: of the activations; parameters, statistics and output are float32.
    batch_norm_momentum: of the running statistics, see `batch_norm`.
  """

  embedding_size: int = 128
  attention: bool = False
  width: float = 1.0
  dtype: Any = jnp.float32
  batch_norm_momentum: float = batch_norm.MOMENTUM

  @property
  def num_exits(self):
    """Stages, one for each size of the map; see `exits`."""
    return sum(stride > 1 for _, _, _, stride in BOTTLENECKS)

  @nn.compact
  def __call__(self, images, *, train, exits=None):
    """Embeds.

    Args:
      images: [B, H, W, C], float32 in [-1, 1] or contrast-normalised; H and W
        at least 32. Parameters fit one image size only: the last depthwise
        window is the map.
      train: normalise with the batch's statistics and update the running ones.
      exits: see `exits`; None: the embedding alone.

    Returns:
      [B, embedding_size] float32; or, if `exits` is given, a list.

    Raises:
      ValueError: images smaller than 32×32.
    """
    layers.check_images(images, smallest=32, network='MobileFaceNet')
    scaled = functools.partial(layers.scale_channels, width=self.width)
    layer = functools.partial(layers.ConvLayer, train=train, activation='prelu')
    linear = functools.partial(layer, activation='none')

    x = images.astype(self.dtype)
    x = layer(scaled(STEM_FEATURES), 3, stride=2)(x)
    x = layer(x.shape[-1], 3, groups=x.shape[-1])(x)
    number = itertools.count()
    maps = []
    for row, (expansion, features, blocks, stride) in enumerate(BOTTLENECKS):
      if row > 0 and stride > 1:
        maps.append(x)
        if exits == len(maps):
          return maps
      for block in range(blocks):
        x = InvertedResidual(
          expansion=expansion,
          features=scaled(features),
          stride=stride if block == 0 else 1,
          train=train,
          # What stored weights call it.
          name=f'Bottleneck_{next(number)}',
        )(x)
    x = layer(scaled(HEAD_FEATURES), 1)(x)
    if self.attention:
      x = attention.SpatialAttention(train)(x)
    x = linear(x.shape[-1], None, groups=x.shape[-1])(x)
    x = linear(self.embedding_size, 1)(x)
    x = x[:, 0, 0].astype(jnp.float32)
    return x if exits is None else [*maps, x]


class InvertedResidual(nn.Module):
  """Expand, filter every channel, project; plus the input if shapes allow."""

  expansion: int
  features: int
  stride: int
  train: bool

  @nn.compact
  def __call__(self, x):
    layer = functools.partial(
      layers.ConvLayer, train=self.train, activation='prelu'
    )
    hidden = self.expansion * x.shape[-1]
    y = layer(hidden, 1)(x)
    y = layer(hidden, 3, stride=self.stride, groups=hidden)(y)
    y = layer(self.features, 1, activation='none')(y)
    same = self.stride == 1 and x.shape[-1] == self.features
    return x + y if same else y

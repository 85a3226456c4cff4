"""VGG16, the plain baseline (arXiv:1409.1556, configuration D).

Thirteen 3×3 convolutions with bias and ReLU in five stages, 2×2 max pooling
after each, two dense layers of 4096 with ReLU and dropout, a linear one:

  224²×3 → 112²×64 → 56²×128 → 28²×256 → 14²×512 → 7²×512 → 4096 → 4096 → D

138,357,544 parameters at 224×224×3 with D = 1000, 102,760,448 of them the
kernel of the first dense layer: its input is the last map, so it shrinks with
the image (at 64×64: 8,388,608). No BatchNorm, as published.
"""

import functools
import itertools
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from palmjax.models import attention, batch_norm, layers
from palmjax.ops import wide
from palmjax.ops.conv import dispatch as conv

# (convolutions, features) of a stage.
STAGES = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))
DENSE_FEATURES = 4096

_PAD_ONE = ((1, 1), (1, 1))


class VGG16(nn.Module):
  """Images → embeddings, not normalised.

  Attributes:
    embedding_size: length of an embedding.
    strided: the last convolution of a stage has stride 2 and there is no
      pooling (arXiv:1412.6806); as many parameters.
    tail: see `layers.Tail`; only 'fc' is followed by the two dense layers.
    attention: spatial attention before the tail.
    dropout: share dropped after the two dense layers in training, which then
      needs the random stream 'dropout'.
    width: factor of every other channel count (rounded to multiples of 8).
    dtype: of the activations; parameters and output are float32.
    batch_norm_momentum: of the running statistics, see `batch_norm`.
  """

  embedding_size: int = 512
  strided: bool = False
  tail: str = 'fc'
  attention: bool = False
  dropout: float = 0.5
  width: float = 1.0
  dtype: Any = jnp.float32
  batch_norm_momentum: float = batch_norm.MOMENTUM

  @property
  def num_exits(self):
    """Stages; see `exits`."""
    return len(STAGES)

  @nn.compact
  def __call__(self, images, *, train, exits=None):
    """Embeds.

    Args:
      images: [B, H, W, C], float32 in [-1, 1] or contrast-normalised; H and W
        at least 32. Parameters fit one image size only, unless the tail is
        'pool'.
      train: drop out; update the statistics of attention and tail.
      exits: see `exits`; None: the embedding alone.

    Returns:
      [B, embedding_size] float32; or, if `exits` is given, a list.

    Raises:
      ValueError: images smaller than 32×32, or an unknown tail.
    """
    layers.check_images(images, smallest=32, network='VGG16')
    scaled = functools.partial(layers.scale_channels, width=self.width)

    x = images.astype(self.dtype)
    number = itertools.count()
    maps = []
    for stage, (depth, features) in enumerate(STAGES):
      if stage > 0:
        maps.append(x)
        if exits == stage:
          return maps
      for index in range(depth):
        last = index == depth - 1
        stride = 2 if last and self.strided else 1
        # What stored weights call it.
        name = f'ConvLayer_{next(number)}'
        x = BiasedConv(scaled(features), stride, name=name)(x)
      if not self.strided:
        x = layers.max_pool(x, window=2, border=0)
    if self.attention:
      x = attention.SpatialAttention(train)(x)
    x = layers.Tail(self.tail, train)(x)
    if self.tail == 'fc':
      for _ in range(2):
        x = nn.Dense(
          scaled(DENSE_FEATURES),
          dtype=self.dtype,
          kernel_init=nn.initializers.he_normal(),
        )(x)
        x = nn.Dropout(self.dropout, deterministic=not train)(jax.nn.relu(x))
    x = nn.Dense(self.embedding_size, dtype=self.dtype)(x)
    x = x.astype(jnp.float32)
    return x if exits is None else [*maps, x]


class BiasedConv(nn.Module):
  """3×3 convolution with a border of one, bias, ReLU."""

  features: int
  stride: int

  @nn.compact
  def __call__(self, x):
    kernel = self.param(
      'kernel',
      nn.initializers.he_normal(),
      (3, 3, x.shape[-1], self.features),
    )
    bias = self.param('bias', nn.initializers.zeros, (self.features,))
    x = conv.dense(
      x, kernel.astype(x.dtype), stride=self.stride, padding=_PAD_ONE
    )
    return jax.nn.relu(wide.add(x, bias))

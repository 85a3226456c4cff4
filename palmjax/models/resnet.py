"""Residual networks: ResNet, ResNeXt, depthwise-separable blocks, IResNet.

A block learns what to add to its input, y = x + f(x); where f changes the shape
x passes a 1×1 convolution. The scale of the last BatchNorm in f starts at zero,
so a fresh network is its shortcuts (arXiv:1706.02677, 5.1).

  block       f, every convolution followed by BatchNorm
  basic       3×3 N, 3×3 N                          arXiv:1512.03385, fig. 5
  bottleneck  1×1 M, 3×3 M in g groups, 1×1 4N       arXiv:1611.05431, fig. 3c
  separable   (depthwise 3×3, 1×1 N) twice            arXiv:1704.04861, fig. 3

N = 64, 128, 256, 512 in the four stages; M = N without groups, 2N for
ResNeXt-50 32×4d. Weights of a 3×3 from M to N channels: 9MN; in g groups
9MN / g; separable 9M + MN, a share of 1/N + 1/9.

Parameters with a head of 1000 and 3 channels: ResNet-18 11,689,512, ResNet-50
25,557,032, ResNeXt-50 32×4d 25,028,904, BatchNorm and the bias of the head
included. The stride of a bottleneck sits in its 3×3, as is usual since.

IResNet is the form that face recognition uses (arXiv:1801.07698): 3×3 stem of
stride 1, blocks BN-3×3-BN-PReLU-3×3(stride)-BN, and BN-FC-BN at the end.
IResNet-18 at 112×112×3 with embeddings of 512 has 24,025,600 parameters if the
slopes and the last BatchNorm's scale are counted. That scale is fixed at one,
so here it is no parameter: 24,025,088.
"""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from palmjax.models import attention, batch_norm, layers

# Blocks of a stage.
DEPTH_18 = (2, 2, 2, 2)
DEPTH_50 = (3, 4, 6, 3)
IRESNET_DEPTH_50 = (3, 4, 14, 3)
FEATURES = (64, 128, 256, 512)
BOTTLENECK_EXPANSION = 4


class ResNet(nn.Module):
  """Images → embeddings, not normalised.

  Attributes:
    block: 'basic', 'bottleneck' or 'separable'.
    depth: blocks of the four stages.
    embedding_size: length of an embedding.
    groups: of the 3×3 convolution of a bottleneck.
    group_features: channels of a group in the first stage; the next have twice
      as many each.
    stem: 'pool': 7×7 of stride 2, then 3×3 max pooling; 'stride': the first
      block has stride 2 in place of pooling; 'small': 3×3 of stride 1, for
      images of 32 to 64 pixels.
    tail: see `layers.Tail`.
    attention: spatial attention before the tail.
    width: factor of every other channel count (rounded to multiples of 8 and of
      the groups).
    dtype: of the activations; parameters, statistics and output are float32.
    batch_norm_momentum: of the running statistics, see `batch_norm`.
  """

  block: str
  depth: tuple[int, ...]
  embedding_size: int = 512
  groups: int = 1
  group_features: int = 64
  stem: str = 'pool'
  tail: str = 'pool'
  attention: bool = False
  width: float = 1.0
  dtype: Any = jnp.float32
  batch_norm_momentum: float = batch_norm.MOMENTUM

  @property
  def num_exits(self):
    """Stages; see `exits`."""
    return len(self.depth)

  @nn.compact
  def __call__(self, images, *, train, exits=None):
    """Embeds.

    Args:
      images: [B, H, W, C], float32 in [-1, 1] or contrast-normalised; H and W
        at least 32, with the small stem 8. Parameters fit one image size only,
        unless the tail is 'pool'.
      train: normalise with the batch's statistics and update the running ones.
      exits: see `exits`; None: the embedding alone.

    Returns:
      [B, embedding_size] float32; or, if `exits` is given, a list.

    Raises:
      ValueError: images too small; an unknown block, stem or tail.
    """
    smallest = 8 if self.stem == 'small' else 32
    layers.check_images(images, smallest=smallest, network='ResNet')
    scaled = functools.partial(layers.scale_channels, width=self.width)

    x = images.astype(self.dtype)
    match self.stem:
      case 'pool' | 'stride':
        x = layers.ConvLayer(scaled(FEATURES[0]), 7, train, stride=2)(x)
      case 'small':
        x = layers.ConvLayer(scaled(FEATURES[0]), 3, train)(x)
      case other:
        raise ValueError(f"stem {other!r}: use 'pool', 'stride' or 'small'")
    if self.stem == 'pool':
      x = layers.max_pool(x, window=3, border=1)
    maps = []
    for stage, blocks in enumerate(self.depth):
      if stage > 0:
        maps.append(x)
        if exits == stage:
          return maps
      features = scaled(FEATURES[stage])
      for index in range(blocks):
        halves = index == 0 and (stage > 0 or self.stem == 'stride')
        stride = 2 if halves else 1
        match self.block:
          case 'basic':
            x = BasicBlock(features, stride, train)(x)
          case 'separable':
            x = SeparableBlock(features, stride, train)(x)
          case 'bottleneck':
            inner = scaled(
              self.groups * self.group_features * 2**stage,
              multiple=math.lcm(8, self.groups),
            )
            wide = BOTTLENECK_EXPANSION * features
            x = BottleneckBlock(inner, self.groups, wide, stride, train)(x)
          case other:
            raise ValueError(
              f"block {other!r}: use 'basic', 'bottleneck' or 'separable'"
            )
    if self.attention:
      x = attention.SpatialAttention(train)(x)
    x = layers.Tail(self.tail, train)(x)
    x = nn.Dense(self.embedding_size, dtype=self.dtype)(x)
    x = x.astype(jnp.float32)
    return x if exits is None else [*maps, x]


class IResNet(nn.Module):
  """Images → embeddings, not normalised; for face-like crops.

  Attributes:
    depth: blocks of the four stages.
    embedding_size: length of an embedding.
    tail: see `layers.Tail`.
    attention: spatial attention before the tail.
    width: factor of every other channel count (rounded to multiples of 8).
    dtype: of the activations; parameters, statistics and output are float32.
    batch_norm_momentum: of the running statistics, see `batch_norm`.
  """

  depth: tuple[int, ...]
  embedding_size: int = 512
  tail: str = 'fc'
  attention: bool = False
  width: float = 1.0
  dtype: Any = jnp.float32
  batch_norm_momentum: float = batch_norm.MOMENTUM

  @property
  def num_exits(self):
    """Stages; see `exits`."""
    return len(self.depth)

  @nn.compact
  def __call__(self, images, *, train, exits=None):
    """Embeds; arguments and result as `ResNet`, H and W at least 16."""
    layers.check_images(images, smallest=16, network='IResNet')
    scaled = functools.partial(layers.scale_channels, width=self.width)

    x = images.astype(self.dtype)
    x = layers.ConvLayer(scaled(FEATURES[0]), 3, train, activation='prelu')(x)
    maps = []
    for stage, blocks in enumerate(self.depth):
      if stage > 0:
        maps.append(x)
        if exits == stage:
          return maps
      features = scaled(FEATURES[stage])
      for index in range(blocks):
        stride = 2 if index == 0 else 1
        x = IResNetBlock(features, stride, train)(x)
    if self.attention:
      x = attention.SpatialAttention(train)(x)
    x = batch_norm.BatchNorm(train)(x)
    x = layers.Tail(self.tail, train)(x)
    x = nn.Dense(self.embedding_size, dtype=self.dtype)(x)
    x = x.astype(jnp.float32)[:, None, None]
    # Without a scale, so that weight decay cannot shrink the embedding.
    x = batch_norm.BatchNorm(train, initial_scale=None)(x)[:, 0, 0]
    return x if exits is None else [*maps, x]


class BasicBlock(nn.Module):
  """Two 3×3 convolutions."""

  features: int
  stride: int
  train: bool

  @nn.compact
  def __call__(self, x):
    y = layers.ConvLayer(self.features, 3, self.train, stride=self.stride)(x)
    y = layers.ConvLayer(
      self.features, 3, self.train, 'none', initial_scale=0.0
    )(y)
    return jax.nn.relu(_shortcut(x, y, self.stride, self.train) + y)


class BottleneckBlock(nn.Module):
  """1×1 to `inner` channels, 3×3 in groups, 1×1 to `features`."""

  inner: int
  groups: int
  features: int
  stride: int
  train: bool

  @nn.compact
  def __call__(self, x):
    y = layers.ConvLayer(self.inner, 1, self.train)(x)
    y = layers.ConvLayer(
      self.inner, 3, self.train, stride=self.stride, groups=self.groups
    )(y)
    y = layers.ConvLayer(
      self.features, 1, self.train, 'none', initial_scale=0.0
    )(y)
    return jax.nn.relu(_shortcut(x, y, self.stride, self.train) + y)


class SeparableBlock(nn.Module):
  """The basic block with each 3×3 as depthwise 3×3 and 1×1."""

  features: int
  stride: int
  train: bool

  @nn.compact
  def __call__(self, x):
    channels, features, train = x.shape[-1], self.features, self.train
    y = layers.ConvLayer(
      channels, 3, train, stride=self.stride, groups=channels
    )(x)
    y = layers.ConvLayer(features, 1, train)(y)
    y = layers.ConvLayer(features, 3, train, groups=features)(y)
    y = layers.ConvLayer(features, 1, train, 'none', initial_scale=0.0)(y)
    return jax.nn.relu(_shortcut(x, y, self.stride, train) + y)


class IResNetBlock(nn.Module):
  """BN, 3×3, BN, PReLU, 3×3 of the stride, BN; no activation on the sum."""

  features: int
  stride: int
  train: bool

  @nn.compact
  def __call__(self, x):
    y = batch_norm.BatchNorm(self.train)(x)
    y = layers.ConvLayer(self.features, 3, self.train, 'prelu')(y)
    y = layers.ConvLayer(
      self.features,
      3,
      self.train,
      'none',
      stride=self.stride,
      initial_scale=0.0,
    )(y)
    return _shortcut(x, y, self.stride, self.train) + y


def _shortcut(x, y, stride, train):
  """x in the shape of y: itself where it fits, else 1×1 and BatchNorm."""
  if stride == 1 and x.shape == y.shape:
    return x
  return layers.ConvLayer(y.shape[-1], 1, train, 'none', stride=stride)(x)

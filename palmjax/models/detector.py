"""Detector of hands in CenterNet's form (arXiv:1904.07850), light.

Inverted bottlenecks (arXiv:1801.04381: 1×1, depthwise 3×3, linear 1×1) down to
stride 32, where a hand that fills the image is seen whole; up again to stride
4, each map added to the one of its stride on the way down; then a 3×3
convolution and one 1×1 convolution for each kind of map:

  level      1    2    3    4    5    6    7    8
  stride     2    4    8   16   32   16    8    4
  features  16   24   40   80  160   64   48   32

For images L times as large the stride of level K ≤ 5 is multiplied by L, so
that from there on all maps have the size that they have without. The window of
that stage grows by L too: it covers what 3×3 cover on the small image.
"""

import functools
from typing import Any

import chex
import jax
import jax.numpy as jnp
from flax import linen as nn

from palmjax.models import batch_norm, layers
from palmjax.ops import pool, resample, wide
from palmjax.ops.conv import dispatch as conv
from palmjax.ops.maps import centers as center_maps
from palmjax.ops.maps import points as point_maps

# (features, blocks after the one that halves the map) of the levels down.
DOWN = ((16, 0), (24, 1), (40, 1), (80, 2), (160, 2))
# (features, blocks) of the levels up. None at stride 4, where one costs most:
# the head's 3×3 follows.
UP = ((64, 1), (48, 1), (32, 0))
EXPANSION = 3
HEAD_FEATURES = 24
# Input sides are multiples of it.
STRIDE = 2 ** len(DOWN)

# log(0.1 / 0.9): a fresh network sees a centre nowhere, and no point.
_LOGIT = -2.19
# Cells. Sizes and points are tens of cells, and an optimiser that moves weights
# by about its learning rate a step would take thousands of steps to get there.
_LENGTH_UNIT = 16.0
# Stored weights call the map of palm frames 'frame'.
_STORED = {'palm_frame': 'frame'}


class Detector(nn.Module):
  """Images → maps of centres, and the maps of all levels.

  Attributes:
    num_classes: C.
    width: factor of all channel counts (rounded to multiples of 8).
    depth: factor of the number of blocks of each level.
    resolution_level: K, the level whose stride is multiplied.
    resolution_factor: L, how much larger than the student's its images are.
    dtype: of the activations; parameters, statistics and output are float32.
    batch_norm_momentum: of the running statistics, see `batch_norm`.
  """

  num_classes: int
  width: float = 1.0
  depth: int = 1
  resolution_level: int = 1
  resolution_factor: int = 1
  dtype: Any = jnp.float32
  batch_norm_momentum: float = batch_norm.MOMENTUM

  @nn.compact
  def __call__(self, images, *, train):
    """Detects.

    Args:
      images: [B, H, W, C], float32 in [-1, 1]; H and W multiples of 32·L.
      train: normalise with the batch's statistics and update the running ones.

    Returns:
      maps: {'class': logits [B, h, w, C], 'size': [B, h, w, 2], width and
        height, 'offset': [B, h, w, 2], 'palm_frame': [B, h, w, 7], 'points':
        [B, h, w, 9]}, float32, with lengths in cells, h = H / 4L and w =
        W / 4L; see `ops.maps.centers`.
      levels: the 8 maps of the module docstring, float32, the last one of
        stride 4, which the head reads. Those below level K are L times as
        large.

    Raises:
      ValueError: sides that do not divide, no such level or factor.
    """
    self._check(images)
    scaled = functools.partial(layers.scale_channels, width=self.width)
    x = images.astype(self.dtype)
    levels = []
    for level, (features, blocks) in enumerate(DOWN, start=1):
      factor = self._factor(level)
      if level == 1:
        x = Halving(scaled(features), train, factor)(x)
      else:
        x = Bottleneck(scaled(features), train, factor)(x)
      for _ in range(blocks * self.depth):
        x = Bottleneck(scaled(features), train)(x)
      levels.append(x)
    for level, (features, blocks) in zip((4, 3, 2), UP, strict=True):
      lateral = levels[level - 1]
      if level < self.resolution_level:
        lateral = pool.block_mean(lateral, self.resolution_factor)
      x = Merge(scaled(features), train)(x, lateral)
      for _ in range(blocks * self.depth):
        x = Bottleneck(scaled(features), train)(x)
      levels.append(x)
    maps = Head(self.num_classes, scaled(HEAD_FEATURES))(x)
    return jax.tree.map(lambda x: x.astype(jnp.float32), (maps, levels))

  def _factor(self, level):
    return self.resolution_factor if level == self.resolution_level else 1

  def _check(self, images):
    chex.assert_rank(images, 4)
    if not 1 <= self.resolution_level <= len(DOWN):
      raise ValueError(
        f'no stride of level {self.resolution_level} to multiply: use a level '
        f'from 1 to {len(DOWN)}'
      )
    if self.resolution_factor < 1:
      raise ValueError(
        f'a stride cannot be multiplied by {self.resolution_factor}: use a '
        'whole number from 1'
      )
    height, width = images.shape[1:3]
    multiple = STRIDE * self.resolution_factor
    if height % multiple or width % multiple:
      raise ValueError(
        f'Detector needs sides that are multiples of {multiple}, got '
        f'{height}×{width}: change the image size'
      )


class Halving(nn.Module):
  """Convolution of stride 2L on a window of 3L, BatchNorm and ReLU.

  Attributes:
    features: output channels; with `depthwise` as many as there are.
    factor: L.
  """

  features: int
  train: bool
  factor: int = 1
  depthwise: bool = False

  @nn.compact
  def __call__(self, x):
    """[B, 2L·h, 2L·w, C] → [B, h, w, features]."""
    window, stride = 3 * self.factor, 2 * self.factor
    # Windows start one pixel, of L, before the map, and end with it.
    padding = ((self.factor, 0),) * 2
    kernel = self.param(
      'kernel',
      nn.initializers.he_normal(),
      (window, window, 1 if self.depthwise else x.shape[-1], self.features),
    ).astype(x.dtype)
    convolve = conv.depthwise if self.depthwise else conv.dense
    x = convolve(x, kernel, stride=stride, padding=padding)
    return batch_norm.normalise(self, x, train=self.train, activation='relu')


class Bottleneck(nn.Module):
  """Expand, filter every channel, project; plus the input if shapes allow.

  Attributes:
    features: output channels.
    factor: L of a block that halves the map; None: it does not.
  """

  features: int
  train: bool
  factor: int | None = None

  @nn.compact
  def __call__(self, x):
    hidden = EXPANSION * x.shape[-1]
    y = layers.ConvLayer(hidden, 1, self.train)(x)
    if self.factor is None:
      y = layers.ConvLayer(hidden, 3, self.train, groups=hidden)(y)
    else:
      y = Halving(hidden, self.train, self.factor, depthwise=True)(y)
    y = layers.ConvLayer(self.features, 1, self.train, 'none')(y)
    return x + y if x.shape == y.shape else y


class Merge(nn.Module):
  """A map enlarged by 2 plus the one of that size, each through a 1×1."""

  features: int
  train: bool

  @nn.compact
  def __call__(self, x, lateral):
    """[B, h, w, C], [B, 2h, 2w, D] → [B, 2h, 2w, features]."""
    x = layers.ConvLayer(self.features, 1, self.train, 'none')(x)
    lateral = layers.ConvLayer(self.features, 1, self.train, 'none')(lateral)
    return jax.nn.relu(resample.upsample(x) + lateral)


class Head(nn.Module):
  """3×3 convolution and ReLU, then 1×1, for each kind of map.

  Convolutions have a bias and no BatchNorm. The 3×3 of all kinds is one.
  """

  num_classes: int
  features: int

  @nn.compact
  def __call__(self, x):
    # Values of each kind, and how many of them, the first ones, are logits of
    # something rare.
    kinds = {'class': (self.num_classes, self.num_classes)}
    kinds |= {
      name: (values, point_maps.KINDS if name == 'points' else 0)
      for name, values in center_maps.VALUES.items()
    }
    total = len(kinds) * self.features
    kernel = self.param(
      'kernel', nn.initializers.he_normal(), (3, 3, x.shape[-1], total)
    )
    bias = self.param('bias', nn.initializers.zeros, (total,))
    x = wide.add(conv.dense(x, kernel.astype(x.dtype)), bias)
    hidden = jnp.split(jax.nn.relu(x), len(kinds), axis=-1)
    maps = {
      name: Projection(*values, name=_STORED.get(name, name))(part)
      for (name, values), part in zip(kinds.items(), hidden, strict=True)
    }
    # The last value of the palm frame is a logit.
    unit = jnp.array([_LENGTH_UNIT] * 6 + [1.0], x.dtype)
    maps['size'] = maps['size'] * _LENGTH_UNIT
    maps['palm_frame'] = maps['palm_frame'] * unit
    return maps


class Projection(nn.Module):
  """1×1 convolution with bias, initialised as CenterNet does.

  Attributes:
    features: output channels.
    logits: how many of them, the first ones, start as logits of p = 0.1.
  """

  features: int
  logits: int

  @nn.compact
  def __call__(self, x):
    # That of the class as torch initialises any convolution.
    kernel_init = (
      nn.initializers.variance_scaling(1 / 3, 'fan_in', 'uniform')
      if self.logits == self.features
      else nn.initializers.normal(0.001)
    )
    kernel = self.param(
      'kernel', kernel_init, (1, 1, x.shape[-1], self.features)
    )
    start = [_LOGIT] * self.logits + [0.0] * (self.features - self.logits)
    bias = self.param(
      'bias', lambda key, shape: jnp.array(start), (self.features,)
    )
    return wide.add(conv.pointwise(x, kernel.astype(x.dtype)), bias)

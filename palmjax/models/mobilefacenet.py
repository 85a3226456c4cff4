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
from typing import Any

import jax.numpy as jnp
from flax import linen as nn

from palmjax.models import attention, batch_norm, layers
from palmjax.ops import conv

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

_PAD_ONE = ((1, 1), (1, 1))


class MobileFaceNet(nn.Module):
  """Images → embeddings, not normalised.

  Attributes:
    embedding_size: length of an embedding.
    attention: spatial attention before the last depthwise window.
    width: factor of every other channel count (rounded to multiples of 8).
    dtype: of the activations; parameters, statistics and output are float32.
  """

  embedding_size: int = 128
  attention: bool = False
  width: float = 1.0
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, images, *, train):
    """Embeds.

    Args:
      images: [B, H, W, C], float32 in [-1, 1] or contrast-normalised; H and W
        at least 32. Parameters fit one image size only: the last depthwise
        window is the map.
      train: normalise with the batch's statistics and update the running ones.

    Returns:
      [B, embedding_size] float32.

    Raises:
      ValueError: images smaller than 32×32.
    """
    layers.check_images(images, smallest=32, network='MobileFaceNet')
    scaled = functools.partial(layers.scale_channels, width=self.width)
    layer = functools.partial(ConvLayer, train=train, dtype=self.dtype)

    x = images.astype(self.dtype)
    x = layer('dense', scaled(STEM_FEATURES), stride=2)(x)
    x = layer('depthwise', scaled(STEM_FEATURES))(x)
    for expansion, features, blocks, stride in BOTTLENECKS:
      for block in range(blocks):
        x = Bottleneck(
          expansion=expansion,
          features=scaled(features),
          stride=stride if block == 0 else 1,
          train=train,
          dtype=self.dtype,
        )(x)
    x = layer('pointwise', scaled(HEAD_FEATURES))(x)
    if self.attention:
      x = attention.SpatialAttention(train)(x)
    x = layer('global', scaled(HEAD_FEATURES), linear=True)(x)
    x = layer('pointwise', self.embedding_size, linear=True)(x)
    return x[:, 0, 0].astype(jnp.float32)


class Bottleneck(nn.Module):
  """Expand, filter every channel, project; plus the input if shapes allow."""

  expansion: int
  features: int
  stride: int
  train: bool
  dtype: Any

  @nn.compact
  def __call__(self, x):
    layer = functools.partial(ConvLayer, train=self.train, dtype=self.dtype)
    hidden = self.expansion * x.shape[-1]
    y = layer('pointwise', hidden)(x)
    y = layer('depthwise', hidden, stride=self.stride)(y)
    y = layer('pointwise', self.features, linear=True)(y)
    same = self.stride == 1 and x.shape[-1] == self.features
    return x + y if same else y


class ConvLayer(nn.Module):
  """Convolution, BatchNorm and, unless linear, PReLU.

  Attributes:
    kind: 'dense' or 'depthwise' 3×3 with a border of one, 'pointwise' 1×1, or
      'global': depthwise, the window as large as the map.
    features: output channels.
  """

  kind: str
  features: int
  train: bool
  dtype: Any
  stride: int = 1
  linear: bool = False

  @nn.compact
  def __call__(self, x):
    channels, stride = x.shape[-1], self.stride
    match self.kind:
      case 'dense':
        kernel = self._kernel(3, 3, channels)
        x = conv.dense(x, kernel, stride=stride, padding=_PAD_ONE)
      case 'depthwise':
        kernel = self._kernel(3, 3, 1)
        x = conv.depthwise(x, kernel, stride=stride, padding=_PAD_ONE)
      case 'pointwise':
        x = conv.pointwise(x, self._kernel(1, 1, channels))
      case 'global':
        kernel = self._kernel(*x.shape[1:3], 1)
        x = conv.depthwise(x, kernel, padding='VALID')
      case other:
        raise ValueError(f'unknown kind of convolution {other!r}')
    return batch_norm.normalise(
      self,
      x,
      train=self.train,
      activation='none' if self.linear else 'prelu',
    )

  def _kernel(self, height, width, channels):
    kernel = self.param(
      'kernel',
      nn.initializers.he_normal(),
      (height, width, channels, self.features),
    )
    return kernel.astype(self.dtype)

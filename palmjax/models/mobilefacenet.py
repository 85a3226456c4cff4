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

import chex
import jax
import jax.numpy as jnp
from flax import linen as nn

from palmjax.ops import conv, sums

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

# Running statistics forget with this factor a step, for runs of a few hundred
# steps: at .99 or .995 (usual for 10⁵ steps) the first steps, whose variances
# are far off, would still be felt in evaluation. They average 19 batches.
BATCH_NORM_MOMENTUM = 0.9
BATCH_NORM_EPSILON = 1e-5
PRELU_SLOPE = 0.25

_PAD_ONE = ((1, 1), (1, 1))


class MobileFaceNet(nn.Module):
  """Images → embeddings, not normalised.

  Attributes:
    embedding_size: length of an embedding.
    width: factor of every other channel count (rounded to multiples of 8).
    dtype: of the activations; parameters, statistics and output are float32.
  """

  embedding_size: int = 128
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
    chex.assert_rank(images, 4)
    if min(images.shape[1:3]) < 32:
      height, width = images.shape[1:3]
      raise ValueError(
        f'MobileFaceNet needs images of at least 32×32, got {height}×{width}: '
        'raise the image size'
      )
    scaled = functools.partial(_scale, width=self.width)
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
        x = jax.lax.conv_general_dilated(
          x,
          kernel,
          (stride, stride),
          _PAD_ONE,
          dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
        )
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
    return self._normalise(x)

  def _normalise(self, x):
    """BatchNorm and PReLU; statistics and arithmetic in float32."""
    features = (self.features,)
    scale = self.param('scale', nn.initializers.ones, features)
    shift = self.param('shift', nn.initializers.zeros, features)
    # A linear layer is a PReLU of slope one.
    slope = (
      jnp.ones(features)
      if self.linear
      else self.param('slope', nn.initializers.constant(PRELU_SLOPE), features)
    )
    mean = self.variable('batch_stats', 'mean', jnp.zeros, features)
    variance = self.variable('batch_stats', 'variance', jnp.ones, features)
    if not self.train:
      gain = scale * jax.lax.rsqrt(variance.value + BATCH_NORM_EPSILON)
      y = (x - mean.value) * gain + shift
      return jnp.where(y >= 0, y, slope * y).astype(self.dtype)
    y, batch_mean, batch_variance = _batch_norm_prelu(
      x, scale, shift, slope, self.linear
    )
    if not self.is_initializing():
      keep = BATCH_NORM_MOMENTUM
      mean.value = keep * mean.value + (1 - keep) * batch_mean
      variance.value = keep * variance.value + (1 - keep) * batch_variance
    return y

  def _kernel(self, height, width, channels):
    kernel = self.param(
      'kernel',
      nn.initializers.he_normal(),
      (height, width, channels, self.features),
    )
    return kernel.astype(self.dtype)


def _scale(features, *, width):
  return max(8, round(features * width / 8) * 8)


@functools.partial(jax.custom_vjp, nondiff_argnums=(4,))
def _batch_norm_prelu(x, scale, shift, slope, linear):
  """Normalises by the batch's statistics, scales, shifts, activates.

  Derivative by hand: it keeps x alone, where the one that JAX derives keeps
  several arrays of that size. A training step at 64 px, batch 32, then needs
  290 MB for activations instead of 410 MB.

  Args:
    x: [B, H, W, C].
    scale, shift, slope: [C].
    linear: whether slope is one everywhere.

  Returns:
    y [B, H, W, C], mean [C] and (biased) variance [C] of x.
  """
  output, _ = _batch_norm_prelu_forward(x, scale, shift, slope, linear)
  return output


def _batch_norm_prelu_forward(x, scale, shift, slope, linear):
  wide = x.astype(jnp.float32)
  count = x.size // x.shape[-1]
  total, total_square = sums.channel_sums(wide, wide * wide)
  mean = total / count
  variance = jnp.maximum(total_square / count - mean**2, 0.0)
  inverse = jax.lax.rsqrt(variance + BATCH_NORM_EPSILON)
  gain = scale * inverse
  y = wide * gain + (shift - mean * gain)
  if not linear:
    y = jnp.where(y >= 0, y, slope * y)
  residuals = (x, scale, shift, slope, mean, inverse)
  return (y.astype(x.dtype), mean, variance), residuals


def _batch_norm_prelu_backward(linear, residuals, cotangents):
  x, scale, shift, slope, mean, inverse = residuals
  g, g_mean, g_variance = cotangents
  wide, g = x.astype(jnp.float32), g.astype(jnp.float32)
  count = x.size // x.shape[-1]
  gain = scale * inverse
  if linear:
    sum_g, sum_gx = sums.channel_sums(g, g * wide)
    g_slope = jnp.zeros_like(slope)
  else:
    y = wide * gain + (shift - mean * gain)
    below = jnp.where(y >= 0, 0.0, g * y)
    g = jnp.where(y >= 0, g, slope * g)
    sum_g, sum_gx, g_slope = sums.channel_sums(g, g * wide, below)
  g_scale = inverse * (sum_gx - mean * sum_g)
  # With x̂ the normalised x, dx = gain (g - mean(g) - x̂ mean(g x̂)), written as
  # g, x and a constant; plus what comes in through the statistics.
  per_x = (2.0 * g_variance - gain * inverse * g_scale) / count
  constant = (g_mean - gain * sum_g) / count - mean * per_x
  g_x = gain * g + per_x * wide + constant
  return g_x.astype(x.dtype), g_scale, sum_g, g_slope


_batch_norm_prelu.defvjp(_batch_norm_prelu_forward, _batch_norm_prelu_backward)

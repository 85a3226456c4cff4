"""Layers that several networks share.

For recognition and detection: convolution with BatchNorm, max pooling, and the
tail that makes a vector of the last map.

For the GAN, those of StyleGAN2: equalised learning rate, modulated convolution.
Weights are drawn from N(0, 1) and multiplied at run time by 1 / √fan_in, so
that Adam moves every layer at one relative speed (arXiv:1710.10196, 4.1).

The 3 × 3 convolution of a block that changes the resolution runs at the lower
one: convolve, then interpolate; or filter, then convolve. StyleGAN2 convolves
at the higher one; the filter then removes what that adds. Measured on CPU
(batch 16, 64 → 32 channels, 16² → 32², forward and both gradients): 5.5 ms
against 24 ms.
"""

import functools
from typing import Any

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from palmjax.models import batch_norm
from palmjax.ops import wide
from palmjax.ops.conv import dispatch as conv


def check_images(images, *, smallest, network):
  """Refuses what is not [B, H, W, C] with H and W at least `smallest`."""
  chex.assert_rank(images, 4)
  height, width = images.shape[1:3]
  if min(height, width) < smallest:
    raise ValueError(
      f'{network} needs images of at least {smallest}×{smallest}, got '
      f'{height}×{width}: raise the image size'
    )


def scale_channels(features, *, width, multiple=8):
  """Channels times `width`, a multiple of `multiple` and not zero."""
  return max(multiple, round(features * width / multiple) * multiple)


def max_pool(x, *, window, border):
  """Maximum over windows at stride 2.

  As maxima of strided slices: on a CPU XLA's own gradient (select and scatter)
  takes 5 times as long (32×32²×64, one core: 68 against 14 ms at 3×3).

  Args:
    x: [B, H, W, C].
    window: height and width of the window.
    border: rows and columns added at each side, of −∞.

  Returns:
    [B, (H + 2·border − window) // 2 + 1, likewise, C].
  """
  chex.assert_rank(x, 4)
  sides = (border, border)
  x = jnp.pad(x, ((0, 0), sides, sides, (0, 0)), constant_values=-jnp.inf)
  for axis in (1, 2):
    stop = (x.shape[axis] - window) // 2 * 2 + 1
    slices = [
      lax.slice_in_dim(x, start, start + stop, stride=2, axis=axis)
      for start in range(window)
    ]
    x = functools.reduce(jnp.maximum, slices)
  return x


class ConvLayer(nn.Module):
  """Convolution without bias, then `batch_norm.normalise`.

  Attributes:
    features: output channels.
    window: odd, with a border of half of it; None: as large as the map, none.
    train: of the BatchNorm.
    activation, initial_scale: see `batch_norm.normalise`.
    stride: in both directions.
    groups: as many as there are channels: depthwise.
  """

  features: int
  window: int | None
  train: bool
  activation: str = 'relu'
  stride: int = 1
  groups: int = 1
  initial_scale: float = 1.0

  @nn.compact
  def __call__(self, x):
    """[B, H, W, C] → [B, H', W', features]."""
    stride, groups, channels = self.stride, self.groups, x.shape[-1]
    window = x.shape[1:3] if self.window is None else (self.window,) * 2
    border = 0 if self.window is None else self.window // 2
    padding = ((border, border),) * 2
    kernel = self.param(
      'kernel',
      nn.initializers.he_normal(),
      (*window, channels // groups, self.features),
    ).astype(x.dtype)
    if groups == channels == self.features:
      x = conv.depthwise(x, kernel, stride=stride, padding=padding)
    elif groups > 1:
      x = conv.grouped(x, kernel, groups=groups, stride=stride, padding=padding)
    elif window == (1, 1):
      x = conv.pointwise(x[:, ::stride, ::stride], kernel)
    else:
      x = conv.dense(x, kernel, stride=stride, padding=padding)
    return batch_norm.normalise(
      self,
      x,
      train=self.train,
      activation=self.activation,
      initial_scale=self.initial_scale,
    )


class Tail(nn.Module):
  """The last map as one vector, [B, H, W, C] → [B, C], or [B, H·W·C].

  Attributes:
    kind: 'pool', the global average; 'gdconv', a depthwise window as large as
      the map and BatchNorm (arXiv:1804.07573, 3.1); 'fc', every value, for a
      dense layer that knows places.
    train: of the BatchNorm.
  """

  kind: str
  train: bool

  @nn.compact
  def __call__(self, x):
    match self.kind:
      case 'pool':
        return jnp.mean(x, axis=(1, 2))
      case 'gdconv':
        kernel = self.param(
          'kernel',
          nn.initializers.he_normal(),
          (*x.shape[1:3], 1, x.shape[-1]),
        )
        x = conv.depthwise(x, kernel.astype(x.dtype), padding='VALID')
        x = batch_norm.normalise(self, x, train=self.train, activation='none')
        return x[:, 0, 0]
      case 'fc':
        return x.reshape(x.shape[0], -1)
      case other:
        raise ValueError(f"tail {other!r}: use 'pool', 'gdconv' or 'fc'")


def leaky_relu(x):
  """Leaky ReLU, slope 0.2, times √2 to keep the variance."""
  return jax.nn.leaky_relu(x, 0.2) * jnp.asarray(2**0.5, x.dtype)


def channels(stage, *, fmap_base, fmap_max):
  """Channels at a resolution stage, 1 = the smallest resolution."""
  return min(fmap_base // 2**stage, fmap_max)


def resolutions(image_size):
  """Sizes from the base of 4 to 7 px up to `image_size`, each twice the last.

  Raises:
    ValueError: the size is not 4, 5, 6 or 7 times a power of two.
  """
  sizes = [image_size]
  while sizes[0] % 2 == 0 and sizes[0] >= 8:
    sizes.insert(0, sizes[0] // 2)
  if not 4 <= sizes[0] <= 7:
    raise ValueError(
      f'image size {image_size} does not halve down to 4..7 px: take 4, 5, 6 '
      'or 7 times a power of two, such as 32, 48, 64, 96, 112 or 128'
    )
  return tuple(sizes)


class Dense(nn.Module):
  """Equalised dense layer, [..., I] -> [..., `features`].

  Attributes:
    features: outputs.
    lr_multiplier: relative learning speed; the initial function is the same.
    bias: initial bias.
    dtype: of the computation.
  """

  features: int
  lr_multiplier: float = 1.0
  bias: float = 0.0
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x):
    multiplier = self.lr_multiplier
    kernel = self.param(
      'kernel',
      nn.initializers.normal(1 / multiplier),
      (x.shape[-1], self.features),
    )
    bias = self.param(
      'bias',
      nn.initializers.constant(self.bias / multiplier),
      (self.features,),
    )
    kernel = kernel * (multiplier / x.shape[-1] ** 0.5)
    x = x.astype(self.dtype) @ kernel.astype(self.dtype)
    return wide.add(x, bias * multiplier)


class Conv(nn.Module):
  """Equalised convolution with zero border, [B, H, W, I] -> [..., `features`].

  Attributes:
    features: outputs.
    kernel_size: odd.
    use_bias: adds a learned bias.
    dtype: of the computation.
  """

  features: int
  kernel_size: int
  use_bias: bool = True
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x):
    kernel = _kernel(self, self.kernel_size, x.shape[-1], self.features)
    x = conv.convolve(x.astype(self.dtype), kernel.astype(self.dtype))
    if self.use_bias:
      bias = self.param('bias', nn.initializers.zeros, (self.features,))
      x = wide.add(x, bias)
    return x


class ModulatedConv(nn.Module):
  """Convolution whose input channels are scaled by a style, no bias.

  With kernel k, style s [B, I] and, if demodulated,
  d[b, o] = (Σ_i s[b, i]² Σ_hw k[h, w, i, o]² + 1e−8)^−½, the result
  d ⊙ conv(s ⊙ x, k) is that of the per-sample kernels d·k·s
  (arXiv:1912.04958, eq. 1 to 3) at the price of one dense convolution.

  Attributes:
    features: outputs.
    kernel_size: odd.
    demodulate: divides by the expected deviation of the output.
    dtype: of the convolution; style and demodulation stay in float32.
  """

  features: int
  kernel_size: int
  demodulate: bool = True
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x, w):
    """x: [B, H, W, I]; w: float32 [B, dim] -> [B, H, W, `features`]."""
    kernel = _kernel(self, self.kernel_size, x.shape[-1], self.features)
    style = Dense(x.shape[-1], bias=1.0, name='style')(w)
    x = wide.multiply(x.astype(self.dtype), style[:, None, None])
    x = conv.convolve(x, kernel.astype(self.dtype))
    if self.demodulate:
      power = jnp.square(style) @ jnp.sum(jnp.square(kernel), axis=(0, 1))
      x = wide.multiply(x, lax.rsqrt(power + 1e-8)[:, None, None])
    return x


def _kernel(module, size, inputs, outputs):
  kernel = module.param(
    'kernel', nn.initializers.normal(1.0), (size, size, inputs, outputs)
  )
  return kernel * (size * size * inputs) ** -0.5

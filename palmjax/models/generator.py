"""Generator of the StyleGAN2 class (arXiv:1912.04958).

Mapping network z → w, learned constant, modulated convolutions with noise,
images summed over the resolutions ('skip'), running mean of w for truncation.
"""

from typing import Any

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp

from palmjax.models import layers
from palmjax.ops import resample, wide


class Generator(nn.Module):
  """Latents to images.

  Variables: collection 'stats' holds `w_mean`, the running mean of w. The
  random stream 'noise' feeds the synthesis.

  Attributes:
    image_size: 4, 5, 6 or 7 times a power of two.
    latent_size: of z and of w.
    mapping_layers: dense layers from z to w.
    fmap_base: channels at stage s are min(fmap_base / 2^s, fmap_max), s = 1 at
      the smallest resolution.
    fmap_max: see `fmap_base`.
    dtype: of the convolutions; w, styles and the summed image are float32.
  """

  image_size: int
  latent_size: int = 512
  mapping_layers: int = 8
  fmap_base: int = 16384
  fmap_max: int = 512
  dtype: Any = jnp.float32

  @property
  def num_layers(self):
    """Number of w vectors that the synthesis takes."""
    return 2 * len(layers.resolutions(self.image_size))

  def setup(self):
    sizes = layers.resolutions(self.image_size)
    widths = [
      layers.channels(s, fmap_base=self.fmap_base, fmap_max=self.fmap_max)
      for s in range(1, len(sizes) + 1)
    ]
    self.mapping_network = [
      layers.Dense(self.latent_size, lr_multiplier=0.01)
      for _ in range(self.mapping_layers)
    ]
    self.w_mean = self.variable(
      'stats', 'w_mean', jnp.zeros, (self.latent_size,), jnp.float32
    )
    self.constant = self.param(
      'constant', nn.initializers.normal(1.0), (sizes[0], sizes[0], widths[0])
    )
    # The first resolution has no interpolating layer.
    self.enlarge = [
      _StyledConv(width, up=True, dtype=self.dtype) for width in widths[1:]
    ]
    self.refine = [_StyledConv(width, dtype=self.dtype) for width in widths]
    self.to_rgb = [_ToRgb(dtype=self.dtype) for _ in widths]

  def __call__(self, z):
    """z: float [B, latent_size] -> images float32 [B, H, W, 3]."""
    w = self.mapping(z)
    return self.synthesis(jnp.repeat(w[:, None], self.num_layers, axis=1))

  def mapping(self, z, *, mean_decay=None):
    """Maps latents to styles.

    Args:
      z: float [B, latent_size], normalised here to unit root mean square.
      mean_decay: if given, `w_mean` follows the mean of w with this decay;
        needs 'stats' mutable.

    Returns:
      w, float32 [B, latent_size].
    """
    chex.assert_shape(z, (None, self.latent_size))
    power = jnp.mean(jnp.square(z), axis=-1, keepdims=True)
    w = z * jax.lax.rsqrt(power + 1e-8)
    for layer in self.mapping_network:
      w = layers.leaky_relu(layer(w))
    if mean_decay is not None:
      mean = jax.lax.stop_gradient(w).mean(axis=0)
      self.w_mean.value = mean + mean_decay * (self.w_mean.value - mean)
    return w

  def truncate(self, w, truncation):
    """Pulls w [..., latent_size] to its mean; 1 leaves it, 0 is the mean."""
    return self.w_mean.value + truncation * (w - self.w_mean.value)

  def synthesis(self, w):
    """w: float32 [B, num_layers, latent_size] -> float32 [B, H, W, 3]."""
    chex.assert_shape(w, (None, self.num_layers, self.latent_size))
    x = jnp.broadcast_to(self.constant, (w.shape[0], *self.constant.shape))
    x = x.astype(self.dtype)
    noise = self.noise(w.shape[0])
    x = self.refine[0](x, w[:, 0], next(noise))
    images = self.to_rgb[0](x, w[:, 1])
    for k, enlarge in enumerate(self.enlarge, start=1):
      x = enlarge(x, w[:, 2 * k - 1], next(noise))
      x = self.refine[k](x, w[:, 2 * k], next(noise))
      images = resample.upsample(images) + self.to_rgb[k](x, w[:, 2 * k + 1])
    return images

  def noise(self, batch):
    """Draws standard normal noise for every convolution.

    Args:
      batch: number of images.

    Yields:
      float32 [batch, H, W, 1], in the order of the convolutions.
    """
    base, *larger = layers.resolutions(self.image_size)
    sizes = [base, *(size for size in larger for _ in range(2))]
    # One draw for all: every random call costs compilation time.
    total = sum(size**2 for size in sizes)
    values = jax.random.normal(self.make_rng('noise'), (batch, total))
    for size in sizes:
      layer, values = values[:, : size**2], values[:, size**2 :]
      yield layer.reshape(batch, size, size, 1)


def generate(generator, params, stats, latents, key, *, truncation=1.0):
  """Draws images. Pure; jit it with `generator` closed over.

  Args:
    generator: `Generator`.
    params: its parameters, usually the moving average.
    stats: its other collections, {'stats': {'w_mean': …}}.
    latents: float [B, latent_size], standard normal.
    key: random key of the noise; independent of the key of the latents.
    truncation: ψ; below 1 trades variety for typical images.

  Returns:
    float32 [B, H, W, 3], about [−1, 1], not clipped.
  """

  def draw(generator, z):
    w = generator.truncate(generator.mapping(z), truncation)
    return generator.synthesis(
      jnp.repeat(w[:, None], generator.num_layers, axis=1)
    )

  return generator.apply(
    {'params': params, **stats}, latents, rngs={'noise': key}, method=draw
  )


class _StyledConv(nn.Module):
  """Modulated 3 × 3 convolution, [interpolation,] noise, bias, leaky ReLU."""

  features: int
  up: bool = False
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x, w, noise):
    x = layers.ModulatedConv(self.features, 3, dtype=self.dtype)(x, w)
    if self.up:
      x = resample.upsample(x)
    strength = self.param('noise_strength', nn.initializers.zeros, ())
    bias = self.param('bias', nn.initializers.zeros, (self.features,))
    x = wide.add(x, strength * noise)
    return layers.leaky_relu(wide.add(x, bias))


class _ToRgb(nn.Module):
  """Modulated 1 × 1 convolution to an image, not demodulated, linear."""

  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x, w):
    images = layers.ModulatedConv(3, 1, demodulate=False, dtype=self.dtype)(
      x, w
    )
    bias = self.param('bias', nn.initializers.zeros, (3,))
    return images.astype(jnp.float32) + bias

"""BatchNorm and the activation after it, with their derivative by hand.

  y = φ(γ (x − μ) / √(σ² + ε) + β),   φ(z) = z where z ≥ 0, slope · z below

with mean μ and (biased) variance σ² of a channel over batch and map
(arXiv:1502.03167). Slope 1: no activation; 0: ReLU; one learned slope a
channel: PReLU (arXiv:1502.01852).
"""

import functools

import chex
import jax
import jax.numpy as jnp
from flax import linen as nn

from palmjax.ops import memory, sums

# Running statistics forget with this factor a step where the network says no
# other, for runs of a few hundred steps: at .99 or .995 (usual for 10⁵ steps)
# the first steps, whose variances are far off, would still be felt in
# evaluation. They average 19 batches.
MOMENTUM = 0.9
EPSILON = 1e-5
PRELU_SLOPE = 0.25


class BatchNorm(nn.Module):
  """`normalise` as a layer of its own, [B, H, W, C] → the same."""

  train: bool
  activation: str = 'none'
  initial_scale: float | None = 1.0

  @nn.compact
  def __call__(self, x):
    return normalise(
      self,
      x,
      train=self.train,
      activation=self.activation,
      initial_scale=self.initial_scale,
    )


def normalise(module, x, *, train, activation, initial_scale=1.0):
  """BatchNorm and activation; statistics and arithmetic in float32.

  Args:
    module: flax module that gets the parameters `scale`, `shift` and, for
      PReLU, `slope`, and the statistics `mean` and `variance`. The nearest
      module around it with a field `batch_norm_momentum` says how fast the
      running statistics forget.
    x: [B, H, W, C].
    train: normalise with the batch's statistics and update the running ones.
    activation: 'none', 'relu' or 'prelu'.
    initial_scale: of every channel; None: the scale is one and no parameter.

  Returns:
    [B, H, W, C] of x's type.

  Raises:
    ValueError: another activation.
  """
  chex.assert_rank(x, 4)
  features = x.shape[-1:]
  scale = (
    jnp.ones(features)
    if initial_scale is None
    else module.param(
      'scale', nn.initializers.constant(initial_scale), features
    )
  )
  shift = module.param('shift', nn.initializers.zeros, features)
  match activation:
    case 'none':
      slope = jnp.ones(features)
    case 'relu':
      slope = jnp.zeros(features)
    case 'prelu':
      slope = module.param(
        'slope', nn.initializers.constant(PRELU_SLOPE), features
      )
    case other:
      raise ValueError(f"activation {other!r}: use 'none', 'relu' or 'prelu'")
  mean = module.variable('batch_stats', 'mean', jnp.zeros, features)
  variance = module.variable('batch_stats', 'variance', jnp.ones, features)
  if not train:
    gain = scale * jax.lax.rsqrt(variance.value + EPSILON)
    y = (x - mean.value) * gain + shift
    return jnp.where(y >= 0, y, slope * y).astype(x.dtype)
  y, batch_mean, batch_variance = _normalise(x, scale, shift, slope, activation)
  if not module.is_initializing():
    keep = _momentum(module)
    mean.value = keep * mean.value + (1 - keep) * batch_mean
    variance.value = keep * variance.value + (1 - keep) * batch_variance
  return y


def check_momentum(value):
  """Raises ValueError unless 0 ≤ value < 1."""
  if not 0 <= value < 1:
    raise ValueError(
      f'batch_norm_momentum={value}: give 0 or more and less than 1'
    )


def momentum_of(description):
  """The momentum in `model` of an export; those before it was kept had 0.9."""
  return description.get('batch_norm_momentum', MOMENTUM)


def _momentum(module):
  """That of the network around a layer: one number, not thirty arguments."""
  while isinstance(module, nn.Module):
    if hasattr(module, 'batch_norm_momentum'):
      return module.batch_norm_momentum
    module = module.parent
  return MOMENTUM


@functools.partial(jax.custom_vjp, nondiff_argnums=(4,))
def _normalise(x, scale, shift, slope, activation):
  """Normalises by the batch's statistics, scales, shifts, activates.

  Derivative by hand: it keeps x alone, where the one that JAX derives keeps
  several arrays of that size. A training step of MobileFaceNet at 64 px, batch
  32, then needs 290 MB for activations instead of 410 MB.

  Args:
    x: [B, H, W, C].
    scale, shift, slope: [C].
    activation: 'none' (slope is one), 'relu' (zero) or 'prelu'.

  Returns:
    y [B, H, W, C], mean [C] and (biased) variance [C] of x.
  """
  output, _ = _normalise_forward(x, scale, shift, slope, activation)
  return output


def _normalise_forward(x, scale, shift, slope, activation):
  wide = x.astype(jnp.float32)
  count = x.size // x.shape[-1]
  total, total_square = sums.channel_sums(wide, wide * wide)
  mean = total / count
  variance = jnp.maximum(total_square / count - mean**2, 0.0)
  inverse = jax.lax.rsqrt(variance + EPSILON)
  y = _activate(wide, *_line(scale * inverse, shift, mean, slope), activation)
  residuals = (x, scale, shift, slope, mean, inverse)
  return (y.astype(x.dtype), mean, variance), residuals


def _line(gain, shift, mean, slope):
  """(gain, offset, slope) of [C] each, so that y = φ(gain · x + offset).

  Written out: they would be computed anew for every row of a map.
  """
  return memory.write_once(jnp.stack([gain, shift - mean * gain, slope]))


def _activate(x, gain, offset, slope, activation):
  y = x * gain + offset
  return y if activation == 'none' else jnp.where(y >= 0, y, slope * y)


def _normalise_backward(activation, residuals, cotangents):
  x, scale, shift, slope, mean, inverse = residuals
  g, g_mean, g_variance = cotangents
  wide, g = x.astype(jnp.float32), g.astype(jnp.float32)
  count = x.size // x.shape[-1]
  gain = scale * inverse
  through = g
  if activation != 'none':
    factor, offset, slope = _line(gain, shift, mean, slope)
    y = wide * factor + offset
    through = jnp.where(y >= 0, g, slope * g)
  terms = [through, through * wide]
  if activation == 'prelu':
    terms.append(jnp.where(y >= 0, 0.0, g * y))
  sum_g, sum_gx, *of_slope = sums.channel_sums(*terms)
  g_slope = of_slope[0] if of_slope else jnp.zeros_like(slope)
  g_scale = inverse * (sum_gx - mean * sum_g)
  # With x̂ the normalised x, dx = gain (g - mean(g) - x̂ mean(g x̂)), written as
  # g, x and a constant; plus what comes in through the statistics.
  per_x = (2.0 * g_variance - gain * inverse * g_scale) / count
  constant = (g_mean - gain * sum_g) / count - mean * per_x
  line = [gain, per_x, constant]
  if activation == 'prelu':
    line += [offset, slope]
  gain, per_x, constant, *again = memory.write_once(jnp.stack(line))
  if again:
    # Once more, from copies: XLA would write `through` to memory, as it has two
    # readers. With ReLU it may: a step of a ResNet-50 is 4 % faster so.
    offset, slope = again
    through = jnp.where(wide * gain + offset >= 0, g, slope * g)
  g_x = gain * through + per_x * wide + constant
  return g_x.astype(x.dtype), g_scale, sum_g, g_slope


_normalise.defvjp(_normalise_forward, _normalise_backward)

"""Losses, regularisers and averaging of StyleGAN2 (arXiv:1912.04958).

Logits D(·) are raw, softplus(t) = log(1 + e^t). The regularisers are updates
of their own, every k main updates, multiplied by k (`steps.gan.updates`), with
the coefficients of `engine.optim.lazy_adam`.
"""

import chex
import jax
import jax.numpy as jnp
import numpy as np


def discriminator_loss(real_logits, fake_logits):
  """Logistic loss, mean[softplus(D(G(z))) + softplus(−D(x))].

  Args:
    real_logits: float [B].
    fake_logits: float [B].

  Returns:
    float32 scalar; 2 ln 2 for a discriminator that knows nothing.
  """
  chex.assert_rank([real_logits, fake_logits], 1)
  real, fake = jax.nn.softplus(-real_logits), jax.nn.softplus(fake_logits)
  return real.mean() + fake.mean()


def generator_loss(fake_logits):
  """Non-saturating loss, mean[softplus(−D(G(z)))], of logits [B]."""
  chex.assert_rank(fake_logits, 1)
  return jax.nn.softplus(-fake_logits).mean()


def r1_penalty(discriminator, images, *, gamma):
  """R1 (arXiv:1801.04406): γ/2 · mean_b ‖∇_x D(x_b)‖², on real images.

  The squared norm is a sum over height, width and channels, the mean runs over
  the batch only. Some public code has γ · mean without the half.

  Args:
    discriminator: maps float [B, H, W, C] to logits [B].
    images: float [B, H, W, C].
    gamma: weight γ.

  Returns:
    float32 scalar.
  """
  chex.assert_rank(images, 4)
  gradient = jax.grad(lambda x: discriminator(x).sum())(images)
  return gamma / 2 * jnp.sum(jnp.square(gradient), axis=(1, 2, 3)).mean()


def path_lengths(synthesis, w, key):
  """Path lengths of a generator: image change for a step in w.

  With y ~ N(0, I) / √(H·W) and g = ∂/∂w Σ G(w)·y, the length of image b is
  √(mean over layers of the sum over dimensions of g²).

  Args:
    synthesis: maps w to images [B, H, W, C].
    w: float [B, L, dim].
    key: random key of y.

  Returns:
    float32 [B].
  """
  chex.assert_rank(w, 3)
  images, transpose = jax.vjp(synthesis, w)
  chex.assert_rank(images, 4)
  _, height, width, _ = images.shape
  y = jax.random.normal(key, images.shape) / np.sqrt(height * width)
  (gradient,) = transpose(y)
  return jnp.sqrt(jnp.square(gradient).sum(axis=-1).mean(axis=-1))


def path_length_penalty(lengths, mean, *, decay=0.01):
  """Path length penalty: squared distance to the running mean.

  The mean that enters the penalty is the new one, and the gradient flows
  through its share of the present lengths.

  Args:
    lengths: float [B].
    mean: float scalar, running mean so far.
    decay: share of the present batch in the new mean.

  Returns:
    (mean_b (len_b − new mean)², not weighted; new mean, without gradient).
  """
  chex.assert_rank([lengths, mean], [1, 0])
  mean = mean + decay * (lengths.mean() - mean)
  return jnp.square(lengths - mean).mean(), jax.lax.stop_gradient(mean)


def path_length_weight(resolution):
  """Path length weight γ_pl for images of side r.

  With lengths defined over images divided by √(H·W) and averaged over the
  layers as in `path_lengths`, this γ_pl is the fixed weight 2.
  """
  return float(np.log(2) / (resolution**2 * (np.log(resolution) - np.log(2))))


def ema_decay(batch_size, half_life_kimg, *, images_seen=None, ramp=0.05):
  """Decay per update of the generator's moving average.

  0.5^(batch / half-life). Early on the half-life is at most `ramp` times the
  images seen, so that the average forgets the start (ADA, arXiv:2006.06676).

  Args:
    batch_size: images per update.
    half_life_kimg: half-life in thousands of images.
    images_seen: scalar, images before this update; None means no ramp.
    ramp: share of the images seen.

  Returns:
    Scalar in [0, 1); 0 at the first update.
  """
  half_life = half_life_kimg * 1000.0
  if images_seen is not None:
    half_life = jnp.minimum(half_life, ramp * images_seen)
    half_life = jnp.maximum(half_life, 1e-8)
  return 0.5 ** (batch_size / half_life)

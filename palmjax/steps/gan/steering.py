"""Steers the probability of ADA's transforms (arXiv:2006.06676, sec. 3).

The share of real images that the discriminator is sure of tells how much it
overfits: r = mean sign(D(x)) over the last batches. Every `interval` batches
p moves by a fixed amount toward the r that is wanted.
"""

import chex
import jax.numpy as jnp


def create():
  """State at p = 0: {'p', 'sign_sum', 'sign'}, float32 scalars."""
  return {name: jnp.zeros(()) for name in ('p', 'sign_sum', 'sign')}


def steer(state, real_logits, *, count, interval, target, ramp_kimg, limit):
  """One batch of the discriminator.

  Args:
    state: of `create`; `sign` is the last complete r.
    real_logits: float [B], of augmented real images.
    count: int scalar, batches so far, this one included.
    interval: batches per update of p.
    target: r that is wanted.
    ramp_kimg: thousands of real images that move p by 1.
    limit: largest p.

  Returns:
    The next state; p moves when `count` is a multiple of `interval`.
  """
  chex.assert_rank(real_logits, 1)
  sign_sum = state['sign_sum'] + jnp.sign(real_logits).mean()
  due = count % interval == 0
  sign = jnp.where(due, sign_sum / interval, state['sign'])
  step = real_logits.shape[0] * interval / (ramp_kimg * 1000)
  moved = jnp.clip(state['p'] + jnp.sign(sign - target) * step, 0.0, limit)
  return {
    'p': jnp.where(due, moved, state['p']),
    'sign_sum': jnp.where(due, 0.0, sign_sum),
    'sign': sign,
  }

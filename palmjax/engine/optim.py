"""Optimisers of the recipes: SGD and AdamW with a warm-up and a cosine, Adam.

SGD decays weights as part of the gradient (L2, as in the face recognition
literature): g + λw, then momentum, then the learning rate

  lr(t) = peak · min(1, (t + 1) / warmup) · ½ (1 + cos(π max(0, t - warmup) /
  (total - warmup)))

(arXiv:1608.03983 without restarts). It clips the gradient by its global norm
before the decay is added.
"""

import jax
import jax.numpy as jnp
import optax


def warmup_cosine(peak, *, num_steps, warmup_steps=0):
  """Learning rate as a function of the int32 step: linear up, cosine to 0.

  Args:
    peak: the highest rate.
    num_steps: length of the run; the rate is 0 from there on.
    warmup_steps: steps until `peak` is reached.

  Raises:
    ValueError: the warm-up does not leave a step for the rest.
  """
  if not 0 <= warmup_steps < num_steps:
    raise ValueError(
      f'a warm-up of {warmup_steps} steps does not fit a run of {num_steps}: '
      f'use 0 to {num_steps - 1}'
    )

  def rate(step):
    step = jnp.asarray(step, jnp.float32)
    done = jnp.clip((step - warmup_steps) / (num_steps - warmup_steps), 0, 1)
    warm = jnp.minimum(1.0, (step + 1) / max(warmup_steps, 1))
    return peak * warm * 0.5 * (1 + jnp.cos(jnp.pi * done))

  return rate


def decays(params):
  """Which parameters are decayed: those of rank 2 and more.

  Biases, batch normalisation's scale and offset and PReLU's slopes are vectors:
  pulled to zero they would switch channels off.
  """
  return jax.tree.map(lambda leaf: jnp.ndim(leaf) > 1, params)


def sgd(peak, *, num_steps, warmup_steps, momentum, weight_decay, max_norm):
  """SGD on `warmup_cosine`, clipped at a global norm of `max_norm`.

  Raises:
    ValueError: a number that trains nothing, or away from the minimum.
  """
  _check(peak, max_norm=max_norm, weight_decay=weight_decay)
  if not 0 <= momentum < 1:
    raise ValueError(f'momentum={momentum}: give 0 or more and less than 1')
  return optax.chain(
    optax.clip_by_global_norm(max_norm),
    optax.add_decayed_weights(weight_decay, mask=decays),
    optax.sgd(
      warmup_cosine(peak, num_steps=num_steps, warmup_steps=warmup_steps),
      momentum=momentum,
    ),
  )


def adamw(peak, *, num_steps, warmup_steps, weight_decay, max_norm):
  """AdamW (arXiv:1711.05101) on `warmup_cosine`; clips and checks as `sgd`."""
  _check(peak, max_norm=max_norm, weight_decay=weight_decay)
  return optax.chain(
    optax.clip_by_global_norm(max_norm),
    optax.adamw(
      warmup_cosine(peak, num_steps=num_steps, warmup_steps=warmup_steps),
      weight_decay=weight_decay,
      mask=decays,
    ),
  )


def _check(peak, *, max_norm, weight_decay):
  for name, value in (('learning_rate', peak), ('max_norm', max_norm)):
    if not value > 0:
      raise ValueError(f'{name}={value}: give a number above 0')
  if weight_decay < 0:
    raise ValueError(f'weight_decay={weight_decay}: give 0 or more')


def adam(learning_rate, *, b1, b2, eps=1e-8):
  """Adam (arXiv:1412.6980) at a constant rate."""
  return optax.adam(learning_rate, b1=b1, b2=b2, eps=eps)


def lazy_adam(learning_rate, *, b1, b2, interval, eps=1e-8):
  """Adam for a loss whose regulariser runs every `interval` steps.

  One Adam state then sees interval + 1 updates where it would see interval:
  with c = interval / (interval + 1), lr ← c·lr, β1 ← β1^c, β2 ← β2^c
  (arXiv:1912.04958, appendix B).
  """
  c = interval / (interval + 1)
  return adam(c * learning_rate, b1=b1**c, b2=b2**c, eps=eps)

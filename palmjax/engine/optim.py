"""Optimisers of the recipes: SGD and AdamW with a learning rate, lazy Adam.

SGD decays weights as part of the gradient (L2, as in the face recognition
literature): g + λw, then momentum, then the learning rate. It clips the
gradient by its global norm before the decay is added. The learning rate is

  cosine    lr(t) = peak · min(1, (t + 1) / warmup) · ½ (1 + cos(π max(0, t -
            warmup) / (total - warmup))), arXiv:1608.03983 without restarts
  constant  lr(t) = peak · min(1, (t + 1) / warmup)
  plateau   as constant, times a factor whenever the training loss has stopped
            falling

Cosine is for runs whose end is known. A run that a stop rule ends has a
constant rate or a plateau.
"""

import dataclasses

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
      f'give `warmup_steps` of 0 to {num_steps - 1}'
    )

  def rate(step):
    step = jnp.asarray(step, jnp.float32)
    done = jnp.clip((step - warmup_steps) / (num_steps - warmup_steps), 0, 1)
    warm = jnp.minimum(1.0, (step + 1) / max(warmup_steps, 1))
    return peak * warm * 0.5 * (1 + jnp.cos(jnp.pi * done))

  return rate


def warmup_constant(peak, *, warmup_steps=0):
  """Learning rate as a function of the int32 step: linear up, then `peak`.

  Raises:
    ValueError: fewer than 0 steps.
  """
  if warmup_steps < 0:
    raise ValueError(
      f'a warm-up of {warmup_steps} steps: give 0 or more `warmup_steps`'
    )
  if warmup_steps < 2:  # Of no step optax would warn.
    return optax.constant_schedule(peak)
  return optax.linear_schedule(peak / warmup_steps, peak, warmup_steps - 1)


@dataclasses.dataclass(frozen=True)
class RateDecay:
  """When the schedule 'plateau' lowers the learning rate.

  Attributes:
    factor: what the rate is then multiplied with.
    steps: of which the mean loss is compared.
    patience: such means in a row that are no lower than the lowest by a share
      of 1e-4.
  """

  factor: float = 0.1
  steps: int = 100
  patience: int = 5

  def __post_init__(self):
    if not 0 < self.factor < 1:
      raise ValueError(f'factor={self.factor}: give a number between 0 and 1')
    for name in ('steps', 'patience'):
      if getattr(self, name) < 1:
        raise ValueError(f'{name}={getattr(self, name)}: give 1 or more')


def decays(params):
  """Mask for weight decay: true for parameters of rank 2 and more.

  Biases, batch normalisation's scale and offset and PReLU's slopes are vectors:
  pulled to zero they would switch channels off.
  """
  return jax.tree.map(lambda leaf: jnp.ndim(leaf) > 1, params)


def sgd(
  peak,
  *,
  num_steps,
  warmup_steps,
  momentum,
  weight_decay,
  max_norm,
  schedule='cosine',
  plateau=None,
):
  """SGD, clipped at a global norm of `max_norm`.

  Args:
    peak: highest learning rate.
    num_steps: length of the run, which 'cosine' needs to know.
    warmup_steps: until `peak` is reached.
    momentum: in [0, 1).
    weight_decay: λ.
    max_norm: of the gradient.
    schedule: 'cosine', 'constant' or 'plateau'.
    plateau: `RateDecay`, needed for 'plateau'.

  Returns:
    optax transformation; with 'plateau' its `update` needs `value`, the loss.

  Raises:
    ValueError: a number that trains nothing, or away from the minimum.
  """
  _check(peak, max_norm=max_norm, weight_decay=weight_decay)
  if not 0 <= momentum < 1:
    raise ValueError(f'momentum={momentum}: give 0 or more and less than 1')
  rate = _rate(schedule, peak, num_steps, warmup_steps)
  return optax.chain(
    optax.clip_by_global_norm(max_norm),
    optax.add_decayed_weights(weight_decay, mask=decays),
    optax.sgd(rate, momentum=momentum),
    *_on_plateau(schedule, plateau),
  )


def adamw(
  peak,
  *,
  num_steps,
  warmup_steps,
  weight_decay,
  max_norm,
  schedule='cosine',
  plateau=None,
):
  """AdamW (arXiv:1711.05101), clipped; same checks and schedules as `sgd`."""
  _check(peak, max_norm=max_norm, weight_decay=weight_decay)
  rate = _rate(schedule, peak, num_steps, warmup_steps)
  return optax.chain(
    optax.clip_by_global_norm(max_norm),
    optax.adamw(rate, weight_decay=weight_decay, mask=decays),
    *_on_plateau(schedule, plateau),
  )


def lazy_adam(learning_rate, *, b1, b2, interval, eps=1e-8):
  """Adam for GANs with lazy regularisation every `interval` steps.

  One Adam state (arXiv:1412.6980) then sees interval + 1 updates where it would
  see interval: with c = interval / (interval + 1), lr ← c·lr, β1 ← β1^c, β2 ←
  β2^c (arXiv:1912.04958, appendix B).
  """
  c = interval / (interval + 1)
  return optax.adam(c * learning_rate, b1=b1**c, b2=b2**c, eps=eps)


def _rate(schedule, peak, num_steps, warmup_steps):
  if schedule == 'cosine':
    return warmup_cosine(peak, num_steps=num_steps, warmup_steps=warmup_steps)
  if schedule in ('constant', 'plateau'):
    return warmup_constant(peak, warmup_steps=warmup_steps)
  raise ValueError(
    f'schedule={schedule}: choose one of cosine, constant, plateau'
  )


def _on_plateau(schedule, plateau):
  """What follows the learning rate in a chain."""
  if schedule != 'plateau':
    return ()
  if plateau is None:
    raise ValueError('schedule=plateau needs `plateau`: give a RateDecay')
  reduce = optax.contrib.reduce_on_plateau(
    factor=plateau.factor,
    patience=plateau.patience,
    accumulation_size=plateau.steps,
  )
  return (reduce,)


def _check(peak, *, max_norm, weight_decay):
  for name, value in (('learning_rate', peak), ('max_norm', max_norm)):
    if not value > 0:
      raise ValueError(f'{name}={value}: give a number above 0')
  if weight_decay < 0:
    raise ValueError(f'weight_decay={weight_decay}: give 0 or more')

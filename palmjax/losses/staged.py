"""Staged and mixed losses: the loss depends on the step or on the sample.

By step, L = Σ_i w_i(t) L_i: with boundaries b_1 ≤ … ≤ b_(S-1) and a change that
takes n steps,

  w_i = r_i - r_(i+1),  r_i(t) = clip((t - b_i + 1) / n, 0, 1),
  r_0 = 1,  r_S = 0

so that stage i has all the weight from b_i + n - 1 to b_(i+1) - 1, weights are
never negative and their sum is 1. By sample, hard ones carry a second loss on
top (forms and defaults are our choice):

  ℓ_b + λ 1[b is hard] ℓ'_b
"""

import math

import chex
import jax
import jax.numpy as jnp


def stage_weights(step, boundaries, *, blend_steps=1):
  """Weights of the stages at step t; one compiled program for all steps.

  Args:
    step: int scalar t, may be traced.
    boundaries: S - 1 ints, the steps at which stages 1, 2, … begin. Two equal
      ones leave out the stage between.
    blend_steps: n ≥ 1, steps that a change takes; 1 switches.

  Returns:
    float32 [S].

  Raises:
    ValueError: boundaries descend or are negative, or n < 1.
  """
  boundaries = tuple(boundaries)
  if list(boundaries) != sorted(boundaries) or min(boundaries, default=0) < 0:
    raise ValueError(
      f'stages begin at {boundaries}: give steps ≥ 0 in ascending order'
    )
  if blend_steps < 1:
    raise ValueError(f'blend_steps={blend_steps}: give at least 1, a switch')
  chex.assert_rank(step, 0)
  # Differences of integers: steps above 2²⁴ have no float32 of their own.
  since = jnp.asarray(step) - jnp.array(boundaries, jnp.int32) + 1
  ramps = jnp.clip(since / blend_steps, 0.0, 1.0)
  ramps = jnp.concatenate([jnp.ones(1), ramps, jnp.zeros(1)])
  return ramps[:-1] - ramps[1:]


def weighted_sum(weights, losses, *arguments):
  """Weighted sum of losses; losses of weight 0 are not evaluated.

  It therefore costs nothing, and neither its value nor its derivative can be
  the NaN that 0 · ∞ would be.

  Args:
    weights: float [S] ≥ 0.
    losses: S functions of the arguments that return a scalar.
    *arguments: arrays, or trees of them; what is differentiated must be here.

  Returns:
    The sum, and float32 [S] with the value of each loss, 0 for those not
    evaluated.
  """
  chex.assert_shape(weights, (len(losses),))
  values = jnp.stack(
    [
      jax.lax.cond(weight > 0, _scalar(loss), _nothing, *arguments)
      for weight, loss in zip(weights, losses, strict=True)
    ]
  )
  return jnp.sum(weights * values), values


def hardest(label_cosines, share):
  """Mask of the hardest samples: lowest label cosines, a share of them.

  Args:
    label_cosines: float [B] (`metric.label_cosines`).
    share: in [0, 1]; rounded up to whole samples.

  Returns:
    bool [B], exactly ceil(share · B) of them true.

  Raises:
    ValueError: share outside [0, 1].
  """
  chex.assert_rank(label_cosines, 1)
  if not 0 <= share <= 1:
    raise ValueError(f'share={share}: give a share of the batch, 0 to 1')
  # Products like .07 · 100 end just above a whole number.
  count = math.ceil(round(share * label_cosines.size, 6))
  _, indices = jax.lax.top_k(-label_cosines, count)
  return jnp.zeros(label_cosines.shape, bool).at[indices].set(True)


def mix(losses, hard, extra, *, weight=1.0):
  """Adds λ times an extra loss to the loss of the hard samples.

  Args:
    losses: float [B], ℓ.
    hard: bool [B], of `hardest`.
    extra: float [B], ℓ', e.g. losses of `triplet.Triplets`.
    weight: λ.

  Returns:
    float [B]; its mean is the loss of the batch.
  """
  chex.assert_rank(losses, 1)
  chex.assert_equal_shape([losses, hard, extra])
  return losses + weight * jnp.where(hard, extra, 0.0)


def _scalar(loss):
  return lambda *arguments: jnp.asarray(loss(*arguments), jnp.float32)


def _nothing(*arguments):
  del arguments
  return jnp.zeros((), jnp.float32)

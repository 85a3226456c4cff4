"""The state of a network in training, and one update of it."""

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax

PyTree = Any


@flax.struct.dataclass(kw_only=True)
class TrainState:
  """Train state of one network: step, parameters, statistics, optimiser, EMA.

  Attributes:
    step: int32 scalar, the number of updates by the main loss; the only clock.
    params: trainable variables.
    stats: every other collection (batch statistics, running means), by name.
    opt_state: of the optimiser that the steps were made with.
    ema: moving average of `params` in buffers of its own, or None.
  """

  step: jax.Array
  params: PyTree
  stats: PyTree
  opt_state: optax.OptState
  ema: PyTree


def initialise(init, *arguments):
  """`init(*arguments)` of a flax module, as a dict of its collections.

  Jitted, as many small draws one by one take longer; on a CPU unoptimised, as
  they run once (MobileFaceNet: 4 s to compile instead of 10 s).
  """
  options = None
  if jax.default_backend() == 'cpu':
    options = {'xla_backend_optimization_level': 0}
  return dict(jax.jit(init, compiler_options=options)(*arguments))


def create(params, stats, tx, *, ema=False):
  """Creates a `TrainState` at step 0; `ema` adds a copy of `params`."""
  return TrainState(
    step=jnp.zeros((), jnp.int32),
    params=params,
    stats=stats,
    opt_state=tx.init(params),
    ema=jax.tree.map(jnp.copy, params) if ema else None,
  )


def apply_gradients(state, tx, grads, *, loss=None, stats=None, ema_decay=None):
  """Applies gradients of the main loss: parameters, statistics, EMA, step.

  Args:
    state: `TrainState`.
    tx: optax transformation whose state `state.opt_state` is.
    grads: pytree like `state.params`.
    loss: scalar, for a `tx` that looks at it (`optim.RateDecay`).
    stats: new statistics; None keeps the old ones.
    ema_decay: scalar in [0, 1]; None leaves `state.ema` alone.

  Returns:
    (next `TrainState`, `step` advanced by one; `norms` of the update).
  """
  tx = optax.with_extra_args_support(tx)
  updates, opt_state = tx.update(
    grads, state.opt_state, state.params, value=loss
  )
  params = optax.apply_updates(state.params, updates)
  ema = state.ema
  if ema_decay is not None:
    ema = optax.incremental_update(params, ema, 1.0 - ema_decay)
  state = state.replace(
    step=state.step + 1,
    params=params,
    stats=state.stats if stats is None else stats,
    opt_state=opt_state,
    ema=ema,
  )
  return state, norms(grads, updates)


def descend(state, tx, loss_fn):
  """One update along the gradient of a loss: the end of most steps.

  Args:
    state: `TrainState`; its `params` are differentiated.
    tx: as of `apply_gradients`.
    loss_fn: params → (scalar, (new statistics, metrics)), metrics with 'loss'.

  Returns:
    (next `TrainState`, the metrics and the `norms` of the update).
  """
  grads, (stats, metrics) = jax.grad(loss_fn, has_aux=True)(state.params)
  state, sizes = apply_gradients(
    state, tx, grads, loss=metrics['loss'], stats=stats
  )
  return state, metrics | sizes


def norms(grads, updates):
  """Global norms of the gradient (not clipped) and of the update.

  Args:
    grads, updates: pytrees of arrays.

  Returns:
    {'grad_norm', 'update_norm'}, scalars.
  """
  return {
    'grad_norm': optax.tree.norm(grads),
    'update_norm': optax.tree.norm(updates),
  }

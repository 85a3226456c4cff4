"""The step of a reader of palm frames, on crops of hands.

  L(points, facing; true ones),  points, facing = reader(crop)

Parameters are {'reader': of the network}. Images arrive as uint8 with their
annotations; the step makes the crops. `losses.palm_frame` has L.
"""

import jax
import jax.numpy as jnp

from palmjax.engine import state as train_state
from palmjax.losses import palm_frame as palm_frame_losses
from palmjax.models import forward

# Every use folds its own constant into the key of the clock.
_CROPS, _DROPOUT = range(2)


def create_state(model, tx, key, *, input_shape):
  """Initial `TrainState` of a palm frame reader."""
  images = jnp.zeros((1, *input_shape))
  stats = train_state.initialise(
    lambda key: model.init(key, images, train=False), key
  )
  return train_state.create({'reader': stats.pop('params')}, stats, tx)


def make_step(model, tx, *, crops, weights=palm_frame_losses.WEIGHTS):
  """One update on annotated images. Differentiates: the reader.

  Args:
    model: reader, images → (points, facing).
    tx: optax transformation.
    crops: (key, batch) → {'image', 'points', 'facing', 'present'}, of
      `data.augment.palm_frame_crops`.
    weights: see `losses.palm_frame.palm_frame_loss`.

  Returns:
    step(state, frozen, batch, key) → (state, metrics).
  """

  def step(state, frozen, batch, key):
    del frozen
    key = jax.random.fold_in(key, state.step)
    batch = crops(jax.random.fold_in(key, _CROPS), batch)

    def loss_fn(params):
      (points, facing), stats = forward.apply_train(
        model,
        params['reader'],
        state.stats,
        batch['image'],
        jax.random.fold_in(key, _DROPOUT),
      )
      loss, terms = palm_frame_losses.palm_frame_loss(
        points, facing, batch, weights=weights
      )
      metrics = {f'loss/{name}': term for name, term in terms.items()}
      return loss, (stats, {'loss': loss} | metrics)

    return train_state.descend(state, tx, loss_fn)

  return step


def make_loss(model, *, crops, weights=palm_frame_losses.WEIGHTS):
  """Builds loss(params, stats, batch, key), that of `make_step` as a measure.

  Pure, with running statistics; arguments as of `make_step`.
  """

  def loss(params, stats, batch, key):
    batch = crops(key, batch)
    output = forward.apply_eval(model, params['reader'], stats, batch['image'])
    value, _ = palm_frame_losses.palm_frame_loss(
      *output, batch, weights=weights
    )
    return value

  return loss

"""Metric learning: one update by a loss, or by losses that take turns.

  L = Σ_i w_i(t) L_i(e, W, y),   e = backbone(preprocess(augment(x)))

with w_i the weights of `losses.staged` at step t; a single loss has w = 1.
Parameters are {'backbone': of the embedding network, 'head': W [K, D]};
triplets give the head no gradient, but weight decay still shrinks it. Running
statistics of embedding norms, which AdaFace reads, are kept for every loss: the
stage that needs them finds them ready.
"""

import jax
import jax.numpy as jnp

from palmjax.engine import state as train_state
from palmjax.losses import metric, staged
from palmjax.models import forward
from palmjax.ops import pixels, vectors
from palmjax.steps import classify

# Every use folds its own constant into the key of the clock.
_AUGMENT, _DROPOUT = range(2)
# Share of a batch in the norm statistics.
_NORM_SHARE = 0.01


def create_state(model, tx, key, *, input_shape, head):
  """Initial `TrainState` with norm statistics; see `classify`."""
  state = classify.create_state(
    model, tx, key, input_shape=input_shape, head=head
  )
  norms = {
    'mean': jnp.float32(metric.NORM_MEAN),
    'std': jnp.float32(metric.NORM_STD),
  }
  return state.replace(stats={**state.stats, 'norms': norms})


def make_step(
  model, tx, *, losses, boundaries=(), blend_steps=1, preprocess, augment
):
  """One update on labelled images. Differentiates: backbone and head.

  Args:
    model: embedding network.
    tx: optax transformation.
    losses: {name: (embeddings [B, D], head [K, D], labels [B], norms) → scalar}
      in the order of their stages; norms is {'mean', 'std'}, two scalars.
    boundaries: steps at which the second, third, … loss begins.
    blend_steps: steps that a change of losses takes.
    preprocess: float [B, H, W, 3] in [-1, 1] → input of the network.
    augment: (key, float [B, H, W, 3]) → the same shape.

  Returns:
    step(state, frozen, batch, key) → (state, metrics); batch {'image': uint8
    [B, H, W, 3], 'label': int32 [B]}. 'accuracy' is that of the head, without
    margin; 'loss/NAME' is 0 while NAME has no weight.

  Raises:
    ValueError: not one boundary fewer than losses.
  """
  if len(boundaries) != len(losses) - 1:
    raise ValueError(
      f'{len(losses)} losses take turns at {len(boundaries)} steps: give one '
      'step fewer than losses'
    )

  def step(state, frozen, batch, key):
    del frozen
    key = jax.random.fold_in(key, state.step)
    images = augment(
      jax.random.fold_in(key, _AUGMENT), pixels.to_float(batch['image'])
    )
    inputs = preprocess(images)
    labels = batch['label']
    weights = staged.stage_weights(
      state.step, boundaries, blend_steps=blend_steps
    )
    stats = {k: v for k, v in state.stats.items() if k != 'norms'}

    def loss_fn(params):
      embeddings, new_stats = forward.apply_train(
        model,
        params['backbone'],
        stats,
        inputs,
        jax.random.fold_in(key, _DROPOUT),
      )
      # Norms depend on width and tail: until the authors' first values were
      # forgotten, all samples would seem to be of the same quality.
      mean, std = metric.update_norm_statistics(
        embeddings,
        state.stats['norms']['mean'],
        state.stats['norms']['std'],
        t_alpha=jnp.where(state.step == 0, 1.0, _NORM_SHARE),
      )
      norms = {'mean': mean, 'std': std}
      head = params['head']
      loss, values = staged.weighted_sum(
        weights, tuple(losses.values()), embeddings, head, labels, norms
      )
      metrics = {
        'loss': loss,
        **{
          f'loss/{name}': value
          for name, value in zip(losses, values, strict=True)
        },
        'accuracy': classify.agreement(
          vectors.cosines(embeddings, head), labels
        ),
        'embedding_norm': classify.mean_norm(embeddings),
      }
      return loss, ({**new_stats, 'norms': norms}, metrics)

    return train_state.descend(state, tx, loss_fn)

  return step

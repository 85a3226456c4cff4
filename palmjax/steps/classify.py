"""Identity classification: the training step of CNN-1, and its state.

  L₁ = mean cross-entropy of logits(e, W, y) and y,
  e = backbone(preprocess(augment(x)))

Parameters are {'backbone': of the embedding network, 'head': W, [K, D]}. Images
arrive as uint8; the step scales, augments and prepares them.
"""

import jax
import jax.numpy as jnp

from palmjax.engine import state as train_state
from palmjax.losses import metric
from palmjax.models import forward
from palmjax.ops import pixels

# Every use folds its own constant into the key of the clock.
_AUGMENT, _DROPOUT = range(2)


def create_state(model, tx, key, *, input_shape, head):
  """Initial `TrainState` of an embedding network with a class head.

  Args:
    model: embedding network.
    tx: optax transformation.
    key: random key.
    input_shape: (h, w, c) of a prepared image.
    head: float [K, D], class weights to begin with; a donating step consumes
      this buffer.

  Returns:
    `TrainState` at step 0.
  """
  images = jnp.zeros((1, *input_shape))
  stats = train_state.initialise(
    lambda key: model.init(key, images, train=False), key
  )
  params = {'backbone': stats.pop('params'), 'head': head}
  return train_state.create(params, stats, tx)


def make_step(model, tx, *, logits_fn, preprocess, augment):
  """Builds a step: one update on labelled images, of backbone and head.

  Args:
    model: embedding network.
    tx: optax transformation.
    logits_fn: (embeddings [B, D], head [K, D], labels [B] or None) → logits
      [B, K]; None asks for those without margin (`losses.metric`).
    preprocess: float [B, H, W, 3] in [-1, 1] → input of the network.
    augment: (key, float [B, H, W, 3]) → the same shape.

  Returns:
    step(state, frozen, batch, key) → (state, metrics); batch {'image': uint8
    [B, H, W, 3], 'label': int32 [B]}; 'accuracy' is without margin.
  """

  def step(state, frozen, batch, key):
    del frozen
    key = jax.random.fold_in(key, state.step)
    images = augment(
      jax.random.fold_in(key, _AUGMENT), pixels.to_float(batch['image'])
    )
    inputs = preprocess(images)
    labels = batch['label']

    def loss_fn(params):
      embeddings, stats = forward.apply_train(
        model,
        params['backbone'],
        state.stats,
        inputs,
        jax.random.fold_in(key, _DROPOUT),
      )
      logits = logits_fn(embeddings, params['head'], labels)
      loss = metric.cross_entropy(logits, labels)
      free_logits = logits_fn(embeddings, params['head'], None)
      metrics = {
        'loss': loss,
        'accuracy': agreement(free_logits, labels),
        'embedding_norm': mean_norm(embeddings),
      }
      return loss, (stats, metrics)

    return train_state.descend(state, tx, loss_fn)

  return step


def agreement(logits, labels):
  """Share of rows [B, K] whose largest logit is that of the label [B]."""
  return jnp.mean(jnp.argmax(logits, axis=-1) == labels)


def mean_norm(embeddings):
  """Mean length of [B, D], no gradient; shows collapse and runaway growth."""
  return jnp.mean(jnp.linalg.norm(jax.lax.stop_gradient(embeddings), axis=-1))

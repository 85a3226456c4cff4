"""Training on labelled and on softly labelled generated images.

The second loss of `losses.soft_label`. The first network's part is over before:
its labels come with the batch, so no gradient can reach it and its weights are
in no optimiser.
"""

import jax
import jax.numpy as jnp

from palmjax.engine import state as train_state
from palmjax.losses import metric, soft_label
from palmjax.models import forward
from palmjax.ops import pixels
from palmjax.steps import classify

# Every use folds its own constant into the key of the clock.
_AUGMENT, _AUGMENT_GENERATED, _DROPOUT = range(3)


def make_step(
  model,
  tx,
  *,
  preprocess,
  augment,
  weight,
  augment_generated,
  plain_mean=False,
  logits_fn=metric.softmax_logits,
):
  """One update with the second loss. Differentiates: backbone and head.

  Both kinds of images pass the network together, so that BatchNorm normalises
  them alike and its running statistics describe what the loss sees.

  Args:
    model: embedding network.
    tx: optax transformation.
    preprocess: float [B, H, W, 3] in [-1, 1] → input of the network.
    augment: (key, float [B, H, W, 3]) → the same shape.
    weight: λ of the generated images.
    augment_generated: whether generated images are augmented like the others.
    plain_mean: as in `losses.soft_label.second_loss`.
    logits_fn: as in `classify.make_step`; generated images get no margin.

  Returns:
    step(state, frozen, batch, key) → (state, metrics); batch {'image': uint8
    [B, H, W, 3], 'label': int32 [B], 'generated': uint8 [G, H, W, 3], 'soft':
    float32 [G, K]} and, if they are to be weighted, 'confidence': float32 [G].
    'agreement' is the share of generated images whose likeliest identity is the
    soft label's.
  """

  def step(state, frozen, batch, key):
    del frozen
    key = jax.random.fold_in(key, state.step)
    labels, soft = batch['label'], batch['soft']
    images = augment(
      jax.random.fold_in(key, _AUGMENT), pixels.to_float(batch['image'])
    )
    generated = pixels.to_float(batch['generated'])
    if augment_generated:
      generated = augment(
        jax.random.fold_in(key, _AUGMENT_GENERATED), generated
      )
    inputs = preprocess(jnp.concatenate([images, generated]))

    def loss_fn(params):
      embeddings, stats = forward.apply_train(
        model,
        params['backbone'],
        state.stats,
        inputs,
        jax.random.fold_in(key, _DROPOUT),
      )
      labelled, unlabelled = jnp.split(embeddings, [len(labels)])
      logits = logits_fn(labelled, params['head'], labels)
      free_logits = logits_fn(labelled, params['head'], None)
      generated_logits = logits_fn(unlabelled, params['head'], None)
      loss, hard_part, soft_part = soft_label.second_loss(
        logits,
        labels,
        generated_logits,
        soft,
        weight=weight,
        confidences=batch.get('confidence'),
        plain_mean=plain_mean,
      )
      metrics = {
        'loss': loss,
        'loss/labelled': hard_part,
        'loss/generated': soft_part,
        'accuracy': classify.agreement(free_logits, labels),
        'agreement': classify.agreement(
          generated_logits, jnp.argmax(soft, axis=-1)
        ),
        'embedding_norm': classify.mean_norm(embeddings),
      }
      return loss, (stats, metrics)

    return train_state.descend(state, tx, loss_fn)

  return step

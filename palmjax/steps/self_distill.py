"""Self-distillation on the device: one update, and a head that grows.

The loss of `losses.self_distillation` (CN114528937A, claims 1c and 4) for a
network with exits (`models.exits`), on the samples of one training set (claim
4a): first target samples with the labels that the device determined and, where
there are any, second target samples with labels of the server's teacher (claim
5d).

Parameters are {'backbone': of the `ExitNetwork`, 'head': W [L, K, D]}, one
matrix of class weights an exit. `classify.create_state` makes the state.
"""

import chex
import jax
import jax.numpy as jnp

from palmjax.engine import state as train_state
from palmjax.losses import self_distillation
from palmjax.models import forward
from palmjax.ops import pixels
from palmjax.steps import classify

# Every use folds its own constant into the key of the clock.
_AUGMENT, _DROPOUT = range(2)


def make_step(
  model,
  tx,
  *,
  logits_fn,
  preprocess,
  augment,
  temperature=3.0,
  alpha=self_distillation.ALPHA,
  beta=self_distillation.BETA,
  statistics_only=False,
):
  """One update of the student by itself. Differentiates: backbone and head.

  Args:
    model: `models.exits.ExitNetwork`, all exits.
    tx: optax transformation.
    logits_fn: (embeddings [B, D], head [K, D], labels [B] or None) → logits
      [B, K]; None asks for those without margin (`losses.metric`).
    preprocess: float [B, H, W, 3] in [-1, 1] → input of the network.
    augment: (key, float [B, H, W, 3]) → the same shape.
    temperature, alpha, beta: see `losses.self_distillation`.
    statistics_only: the control that moves no parameter: BatchNorm's running
      statistics alone see the samples. The optimiser's state stays, too.

  Returns:
    step(state, frozen, batch, key) → (state, metrics); frozen is not read;
    batch {'image': [B, H, W, 3], uint8 or float in [-1, 1], 'label': int32
    [B]} and, with labels of the server, {'soft': float32 [B, K], 'has_soft':
    bool [B]}. 'loss/NAME' are the terms without weights, 'accuracy' and
    'embedding_norm' those of the last exit, 'accuracy/exitL' of every exit.
  """

  def step(state, frozen, batch, key):
    del frozen
    key = jax.random.fold_in(key, state.step)
    inputs = preprocess(
      augment(jax.random.fold_in(key, _AUGMENT), float_images(batch['image']))
    )
    labels = batch['label']

    def loss_fn(params):
      embeddings, stats = forward.apply_train(
        model,
        params['backbone'],
        state.stats,
        inputs,
        jax.random.fold_in(key, _DROPOUT),
      )
      logits = exit_logits(logits_fn, embeddings, params['head'], None)
      loss, terms = self_distillation.loss(
        logits,
        embeddings,
        labels,
        label_logits=exit_logits(logits_fn, embeddings, params['head'], labels),
        soft=batch.get('soft'),
        has_soft=batch.get('has_soft'),
        temperature=temperature,
        alpha=alpha,
        beta=beta,
      )
      metrics = {
        'loss': loss,
        **{f'loss/{name}': value for name, value in terms.items()},
        **accuracies(logits, labels),
        'embedding_norm': classify.mean_norm(embeddings[-1]),
      }
      return loss, (stats, metrics)

    if statistics_only:
      _, (stats, metrics) = loss_fn(state.params)
      return state.replace(step=state.step + 1, stats=stats), metrics
    return train_state.descend(state, tx, loss_fn)

  return step


def grow(state, tx, rows):
  """Adds the class weights of new identities to every exit; pure.

  What the optimiser remembers of the new weights is what it remembers in a
  fresh state: moments of 0. All else stays bit by bit: other parameters,
  statistics, the clock, and the optimiser's memory of the old weights. Arrays
  that do not grow are those of the old state, so a donating step then consumes
  both states. A step compiles anew for the new shape.

  Args:
    state: `TrainState` with 'head' [L, K, D].
    tx: the optax transformation whose state `state.opt_state` is.
    rows: float [L, N, D], class weights of N new identities.

  Returns:
    `TrainState` with 'head' [L, K + N, D]; old labels mean what they meant.
  """
  head = state.params['head']
  chex.assert_shape(rows, (head.shape[0], None, head.shape[2]))
  classes = head.shape[1]

  def widened(params):
    return {**params, 'head': _append(params['head'], rows)}

  def kept(old, fresh):
    if old.shape == fresh.shape:
      return old
    return _append(old, fresh[:, classes:])

  params = widened(state.params)
  return state.replace(
    params=params,
    # Only what depends on the number of classes has another shape.
    opt_state=jax.tree.map(kept, state.opt_state, tx.init(params)),
    ema=None if state.ema is None else widened(state.ema),
  )


def exit_logits(logits_fn, embeddings, head, labels):
  """Logits [L, B, K] of embeddings [L, B, D] and class weights [L, K, D]."""
  return jax.vmap(logits_fn, (0, 0, None))(embeddings, head, labels)


def accuracies(logits, labels):
  """Accuracy of each exit and, as 'accuracy', of the last: [L, B, K], [B]."""
  each = [classify.agreement(mine, labels) for mine in logits]
  return {
    'accuracy': each[-1],
    **{
      f'accuracy/exit{number}': value
      for number, value in enumerate(each, start=1)
    },
  }


def float_images(images):
  """Images in [-1, 1], of uint8 or of float in [-1, 1]."""
  if images.dtype == jnp.uint8:
    return pixels.to_float(images)
  return images.astype(jnp.float32)


def _append(leaf, rows):
  return jnp.concatenate([leaf, rows.astype(leaf.dtype)], axis=1)

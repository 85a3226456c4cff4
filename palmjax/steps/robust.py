"""One update on images and on their copies (CN112215298A, claims 4 and 5).

  L = L1(x) + w L2(x*)      target loss; labels stay, as nothing moves

with x* of `steps.perturb`. Kind 'none' has L = L1. Kind 'free' has x* =
clip(x + δ): the gradient of an update moves the parameters and, by its sign, δ
of the next one. Each batch comes `replays` times (arXiv:1904.12843).
"""

import functools

import jax
import jax.numpy as jnp

from palmjax.engine import state as train_state
from palmjax.ops import ball
from palmjax.steps import perturb

# Running statistics, not changed; those of one batch of both kinds of images;
# or a set for each kind, of which the one of the unperturbed is kept. Then x*
# is found, as L2 is taken, through the set of the perturbed.
STATISTICS = ('running', 'joint', 'separate')
# Entries of `TrainState.stats` that are not the network's.
OF_TRAINING = ('perturbed', 'perturbation')
# Every use of a step's key folds its own constant into it.
_PREPARE, _START, _DROPOUT = range(3)


def create_state(state, perturbation, *, images, statistics='running'):
  """A state with what the perturbation remembers, from one without.

  Args:
    state: `TrainState` of the network to be trained.
    perturbation: `Perturbation`.
    images: shape [B, h, w, c] of a batch as the network sees it.
    statistics: of `STATISTICS`.

  Returns:
    `TrainState` with its own copies.
  """
  stats = dict(state.stats)
  if statistics == 'separate':
    stats['perturbed'] = jax.tree.map(jnp.copy, state.stats)
  if perturbation.kind == 'free':
    stats['perturbation'] = jnp.zeros(images, jnp.float32)
  return state.replace(stats=stats)


def network_stats(stats):
  """Those of `TrainState.stats` that the network reads when it is used."""
  return {k: v for k, v in stats.items() if k not in OF_TRAINING}


def make_step(task, tx, perturbation, *, weight=1.0, statistics='running'):
  """One update by L1 + w L2. Differentiates: the parameters; and, for x*, x⁰.

  The parameters follow both losses (claim 4). Their sum is the target loss,
  which decides whether training is over (claim 5).

  Args:
    task: `perturbed_tasks.Task`: what the network is trained to do.
    tx: optax transformation.
    perturbation: `Perturbation`.
    weight: w of the loss on target images.
    statistics: of `STATISTICS`; they hold for unperturbed updates, too.

  Returns:
    step(state, frozen, batch, key) → (state, metrics). Metrics are 'loss', the
    target loss, 'clean' and 'perturbed', its parts, 'clean/TERM', those of
    `perturb.find_target_images`, and, where the update and the attack read
    BatchNorm alike, that of `perturb.gained`. With kind 'free' give each batch
    `replays` times.

  Raises:
    ValueError: as `perturb.check`; other statistics, or a negative weight.
  """
  perturb.check(perturbation)
  if statistics not in STATISTICS:
    raise ValueError(
      f'statistics={statistics}: choose one of {", ".join(STATISTICS)}'
    )
  if not weight >= 0:
    raise ValueError(f'weight={weight}: give 0 or more')
  kind, epsilon = perturbation.kind, perturbation.epsilon
  replays = perturbation.replays if kind == 'free' else 1
  look = functools.partial(_look, task, statistics)
  # Then L2 is taken of what the attack would see after its last step: how far
  # the ascent came needs no further forward pass.
  sees_the_attack = kind in perturb.ASCENTS and (
    (perturbation.statistics, statistics)
    in (('running', 'running'), ('batch', 'separate'))
  )

  def step(state, frozen, batch, key):
    del frozen
    # Replayed batches are augmented alike.
    key = jax.random.fold_in(key, state.step // replays)
    images, targets = task.prepare(jax.random.fold_in(key, _PREPARE), batch)
    dropout = jax.random.fold_in(key, _DROPOUT)
    target_images, metrics = None, {}
    if kind == 'free':
      target_images = ball.project(
        images + state.stats['perturbation'], images, radius=epsilon
      )
    elif kind != 'none':
      target_images, metrics = perturb.find_target_images(
        task,
        perturbation,
        (state.params, _attacked_stats(state.stats, statistics)),
        (images, targets),
        jax.random.fold_in(key, _START),
      )

    def loss_fn(params, target_images):
      outputs, target_outputs, stats = look(
        params, state.stats, images, target_images, dropout
      )
      clean, terms = task.loss(params, outputs, targets)
      perturbed = jnp.zeros(())
      if target_outputs is not None:
        perturbed, _ = task.loss(params, target_outputs, targets)
      loss = clean + weight * perturbed
      parts = {'loss': loss, 'clean': clean, 'perturbed': perturbed}
      parts |= {f'clean/{name}': value for name, value in terms.items()}
      if sees_the_attack:
        parts |= perturb.gained(
          perturbation,
          metrics,
          task.vectors(outputs),
          task.vectors(target_outputs),
          perturbed,
        )
      return loss, (stats, parts)

    if kind == 'free':
      (grads, direction), (stats, loss_terms) = jax.grad(
        loss_fn, argnums=(0, 1), has_aux=True
      )(state.params, target_images)
      change = target_images - images + 2 * epsilon * jnp.sign(direction)
      stats['perturbation'] = jnp.clip(change, -2 * epsilon, 2 * epsilon)
    else:
      grads, (stats, loss_terms) = jax.grad(loss_fn, has_aux=True)(
        state.params, target_images
      )
    state, norms = train_state.apply_gradients(
      state, tx, grads, loss=loss_terms['loss'], stats=stats
    )
    return state, loss_terms | metrics | norms

  return step


def _attacked_stats(stats, statistics):
  """Statistics of the network that L2 is taken through."""
  if statistics == 'separate':
    return stats['perturbed']
  return network_stats(stats)


def _look(task, statistics, params, stats, images, target_images, key):
  """(outputs, those of the target images or None, new statistics)."""
  own_stats = network_stats(stats)
  unperturbed = target_images is None
  if statistics == 'running':
    outputs = task.apply_eval(params, own_stats, images)
    if unperturbed:
      return outputs, None, dict(stats)
    return (
      outputs,
      task.apply_eval(params, own_stats, target_images),
      dict(stats),
    )
  if statistics == 'joint' and not unperturbed:
    both = jnp.concatenate([images, target_images])
    outputs, new = task.apply_train(params, own_stats, both, key)
    halves = [
      jax.tree.map(lambda x, i=i: jnp.split(x, 2)[i], outputs) for i in (0, 1)
    ]
    return *halves, {**stats, **new}
  outputs, new = task.apply_train(params, own_stats, images, key)
  if unperturbed:
    return outputs, None, {**stats, **new}
  target_outputs, other = task.apply_train(
    params, stats['perturbed'], target_images, key
  )
  return outputs, target_outputs, {**stats, **new, 'perturbed': other}

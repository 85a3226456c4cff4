"""The metric learning step: what it adds to the classification step."""

import itertools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from palmjax.losses import metric as metric_losses
from palmjax.losses import triplet
from palmjax.models import heads
from palmjax.steps import classify, metric


class Tiny(nn.Module):
  """Flatten, project, normalise by running or batch mean."""

  @nn.compact
  def __call__(self, images, *, train):
    x = nn.Dense(4, use_bias=False)(images.reshape(len(images), -1))
    return nn.BatchNorm(use_running_average=not train, momentum=0.5)(x)


def arcface(embeddings, head, labels, norms):
  del norms
  logits = metric_losses.arcface_logits(
    embeddings, head, labels, margin=0.2, scale=8.0
  )
  return metric_losses.cross_entropy(logits, labels)


def batch_hard(embeddings, head, labels, norms):
  del head, norms
  distances = triplet.squared_euclidean(embeddings)
  return triplet.mean(triplet.batch_hard(distances, labels, margin=0.5))


def no_augment(key, images):
  del key
  return images


def make(losses, **options):
  model, tx = Tiny(), optax.sgd(0.1)
  pieces = {'preprocess': lambda x: x, 'augment': no_augment}
  step = metric.make_step(model, tx, losses=losses, **pieces, **options)
  state = metric.create_state(
    model,
    tx,
    jax.random.key(1),
    input_shape=(3, 3, 3),
    head=heads.init_head(jax.random.key(2), 3, 4),
  )
  return step, state


@pytest.fixture
def batch():
  rng = np.random.default_rng(0)
  return {
    'image': rng.integers(0, 256, (6, 3, 3, 3)).astype(np.uint8),
    'label': np.array([0, 0, 1, 1, 2, 2], np.int32),
  }


def test_one_loss_is_the_classification_step(batch):
  """Same keys, same loss: bit for bit the update of `steps.classify`."""
  step, state = make({'arcface': arcface})
  reference = classify.make_step(
    Tiny(),
    optax.sgd(0.1),
    preprocess=lambda x: x,
    augment=no_augment,
    logits_fn=lambda e, w, y: metric_losses.arcface_logits(
      e, w, y, margin=0.2, scale=8.0
    ),
  )
  stats = {'batch_stats': state.stats['batch_stats']}
  expected, values = jax.jit(reference)(
    state.replace(stats=stats), None, batch, jax.random.key(0)
  )
  after, metrics = jax.jit(step)(state, None, batch, jax.random.key(0))
  chex.assert_trees_all_close(after.params, expected.params, rtol=1e-6)
  chex.assert_trees_all_close(
    after.stats['batch_stats'], expected.stats['batch_stats'], rtol=1e-6
  )
  np.testing.assert_allclose(metrics['loss'], values['loss'], rtol=1e-6)


def test_losses_take_turns_in_one_program(batch):
  step, state = make(
    {'arcface': arcface, 'triplet': batch_hard}, boundaries=(2,)
  )
  step = jax.jit(chex.assert_max_traces(step, n=1))
  heads_seen, values = [np.asarray(state.params['head'])], []
  for _ in range(4):
    state, metrics = step(state, None, batch, jax.random.key(0))
    heads_seen.append(np.asarray(state.params['head']))
    values.append({name: float(value) for name, value in metrics.items()})
  moved = [
    bool(np.abs(b - a).max() > 0) for a, b in itertools.pairwise(heads_seen)
  ]
  # Triplets leave the head alone.
  assert moved == [True, True, False, False]
  assert [v['loss/arcface'] > 0 for v in values] == [True, True, False, False]
  assert [v['loss/triplet'] > 0 for v in values] == [False, False, True, True]
  assert values[3]['loss'] == values[3]['loss/triplet']


def test_adaface_reads_the_running_norms(batch):
  seen = []

  def adaface(embeddings, head, labels, norms):
    logits = metric_losses.adaface_logits(
      embeddings, head, labels, norm_mean=norms['mean'], norm_std=norms['std']
    )
    seen.append(norms)
    return metric_losses.cross_entropy(logits, labels)

  step, state = make({'adaface': adaface})
  step = jax.jit(step)
  first, metrics = step(state, None, batch, jax.random.key(0))
  # The first batch counts in full, the next ones as a hundredth.
  begun = float(metrics['embedding_norm'])
  np.testing.assert_allclose(first.stats['norms']['mean'], begun, rtol=1e-5)
  assert 0 < first.stats['norms']['std'] < begun
  second, metrics = step(first, None, batch, jax.random.key(0))
  now = float(metrics['embedding_norm'])
  assert abs(now - begun) > 1e-3
  np.testing.assert_allclose(
    second.stats['norms']['mean'], 0.99 * begun + 0.01 * now, rtol=1e-5
  )
  assert seen


def test_stages_and_boundaries_must_fit():
  with pytest.raises(ValueError, match='give one step fewer than losses'):
    make({'arcface': arcface, 'triplet': batch_hard}, boundaries=())


def test_gradients_stay_finite_where_all_embeddings_are_equal(batch):
  step, state = make({'triplet': batch_hard})
  same = {**batch, 'image': np.full_like(batch['image'], 7)}
  after, metrics = jax.jit(step)(state, None, same, jax.random.key(0))
  chex.assert_tree_all_finite(after.params)
  assert jnp.isfinite(metrics['loss'])

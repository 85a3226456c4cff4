"""The classification step: by hand on a linear network, then the real one."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from palmjax.losses import metric
from palmjax.models import forward, heads, mobilefacenet
from palmjax.networks import palm as palm_networks
from palmjax.ops import pixels, vectors
from palmjax.steps import classify


class Tiny(nn.Module):
  """Flatten, project, normalise by running or batch mean."""

  @nn.compact
  def __call__(self, images, *, train):
    x = nn.Dense(4, use_bias=False)(images.reshape(len(images), -1))
    return nn.BatchNorm(use_running_average=not train, momentum=0.5)(x)


def no_augment(key, images):
  del key
  return images


def mean_channel(images):
  return jnp.mean(images, axis=-1, keepdims=True)


def batch(size=6, classes=4, seed=0):
  rng = np.random.default_rng(seed)
  return {
    'image': rng.integers(0, 256, (size, 3, 3, 3)).astype(np.uint8),
    'label': (np.arange(size) % classes).astype(np.int32),
  }


def make(tx=None, *, augment=no_augment, logits_fn=None):
  tx = tx or optax.sgd(0.1)
  model = Tiny()
  step = classify.make_step(
    model,
    tx,
    logits_fn=logits_fn or metric.softmax_logits,
    preprocess=mean_channel,
    augment=augment,
  )
  state = classify.create_state(
    model,
    tx,
    jax.random.key(1),
    input_shape=(3, 3, 1),
    head=heads.init_head(jax.random.key(2), 4, 4),
  )
  return model, step, state


def test_state_at_step_zero():
  _, _, state = make()
  assert state.step == 0
  assert set(state.params) == {'backbone', 'head'}
  assert set(state.stats) == {'batch_stats'}


def test_loss_and_update_by_hand():
  _, step, state = make()
  data = batch()
  after, metrics = jax.jit(step)(state, None, data, jax.random.key(0))

  kernel = np.asarray(state.params['backbone']['Dense_0']['kernel'])
  head = np.asarray(state.params['head'], np.float64)
  grey = (data['image'] / 127.5 - 1.0).mean(axis=-1).reshape(6, -1)
  x = grey @ kernel
  x = (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + 1e-5)
  logits = x @ head.T
  p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
  one_hot = np.eye(4)[data['label']]
  loss = -np.log(p[np.arange(6), data['label']]).mean()
  np.testing.assert_allclose(metrics['loss'], loss, rtol=1e-4)
  np.testing.assert_allclose(
    metrics['accuracy'], (logits.argmax(1) == data['label']).mean()
  )
  np.testing.assert_allclose(
    metrics['embedding_norm'], np.linalg.norm(x, axis=1).mean(), rtol=1e-4
  )
  gradient = (p - one_hot).T @ x / 6
  np.testing.assert_allclose(
    after.params['head'], head - 0.1 * gradient, atol=1e-5
  )
  assert after.step == 1


def test_everything_moves_that_should_and_the_rest_does_not():
  _, step, state = make()
  after, _ = jax.jit(step)(state, None, batch(), jax.random.key(0))
  for before_leaf, after_leaf in zip(
    jax.tree.leaves(state.params['backbone']['Dense_0']),
    jax.tree.leaves(after.params['backbone']['Dense_0']),
    strict=True,
  ):
    assert np.abs(before_leaf - after_leaf).max() > 0
  before, now = (s.stats['batch_stats']['BatchNorm_0'] for s in (state, after))
  assert np.abs(before['mean'] - now['mean']).max() > 1e-3


def test_each_step_augments_with_a_key_of_its_own():
  seen = []

  def augment(key, images):
    data = jax.random.key_data(key)
    jax.debug.callback(lambda x: seen.append(np.asarray(x)), data)
    return images

  _, step, state = make(augment=augment)
  step, root = jax.jit(step), jax.random.key(3)
  state, _ = step(state, None, batch(), root)
  jax.effects_barrier()
  step(state, None, batch(), root)
  jax.effects_barrier()
  assert len(seen) == 2
  assert not np.array_equal(seen[0], seen[1])
  assert not np.array_equal(seen[0], jax.random.key_data(root))


def test_accuracy_is_without_margin():
  data = batch()
  results = []
  for margin in (0.0, 3.0):
    logits_fn = functools.partial(
      metric.arcface_logits, margin=margin, scale=8.0
    )
    _, step, state = make(logits_fn=logits_fn)
    _, metrics = jax.jit(step)(state, None, data, jax.random.key(0))
    results.append(metrics)
  assert results[0]['accuracy'] == results[1]['accuracy'] > 0
  assert results[1]['loss'] > results[0]['loss'] + 1.0


def test_one_trace_with_donation():
  _, step, state = make(optax.adam(1e-2))
  step = jax.jit(chex.assert_max_traces(step, n=1), donate_argnums=0)
  losses = []
  for _ in range(3):
    state, metrics = step(state, None, batch(), jax.random.key(0))
    losses.append(float(metrics['loss']))
  assert int(state.step) == 3
  assert losses[2] < losses[0]


def test_embedder_and_classifier_read_running_statistics():
  model, _, state = make()
  stats = {
    'batch_stats': {
      'BatchNorm_0': {'mean': jnp.arange(4.0), 'var': jnp.full(4, 4.0)}
    }
  }
  images = batch()['image']
  embed = palm_networks.make_embedder(model, mean_channel)
  got = embed({'backbone': state.params['backbone']}, stats, images)
  kernel = np.asarray(state.params['backbone']['Dense_0']['kernel'])
  grey = (images / 127.5 - 1.0).mean(axis=-1).reshape(6, -1)
  x = (grey @ kernel - np.arange(4)) / np.sqrt(4 + 1e-5)
  length = np.linalg.norm(x, axis=1, keepdims=True)
  np.testing.assert_allclose(got, x / length, atol=1e-5)

  head = np.asarray(state.params['head'])
  plain = palm_networks.make_classifier(
    model, mean_channel, logits_fn=metric.softmax_logits
  )
  np.testing.assert_allclose(
    plain(state.params, stats, images), x @ head.T, atol=1e-5
  )
  cosine = palm_networks.make_classifier(
    model,
    mean_channel,
    logits_fn=functools.partial(metric.arcface_logits, scale=2.0),
  )
  head_length = np.linalg.norm(head, axis=1)
  np.testing.assert_allclose(
    cosine(state.params, stats, images),
    2.0 * (x @ head.T) / length / head_length,
    atol=1e-5,
  )


@pytest.fixture(scope='module')
def trained():
  """MobileFaceNet on two images of each of four identities."""
  rng = np.random.default_rng(0)
  base = rng.integers(0, 256, (4, 1, 32, 32, 3))
  noise = rng.integers(-20, 21, (4, 2, 32, 32, 3))
  data = {
    'image': np.clip(base + noise, 0, 255)
    .reshape(8, 32, 32, 3)
    .astype('uint8'),
    'label': np.repeat(np.arange(4, dtype=np.int32), 2),
  }
  model = mobilefacenet.MobileFaceNet(embedding_size=16, width=0.125)
  # The rate falls to 0, so that running statistics catch up with the weights.
  tx = optax.sgd(optax.cosine_decay_schedule(0.05, 80), momentum=0.9)
  state = classify.create_state(
    model,
    tx,
    jax.random.key(0),
    input_shape=(32, 32, 1),
    head=heads.init_head(jax.random.key(1), 4, 16),
  )
  step = classify.make_step(
    model,
    tx,
    logits_fn=functools.partial(metric.arcface_logits, margin=0.3, scale=16.0),
    preprocess=mean_channel,
    augment=no_augment,
  )
  step = jax.jit(step, donate_argnums=0)
  first = jax.tree.map(np.asarray, state)
  for _ in range(80):
    state, metrics = step(state, None, data, jax.random.key(2))
  return model, first, state, metrics, data


@pytest.mark.slow
def test_mobilefacenet_overfits(trained):
  _, _, state, metrics, _ = trained
  assert float(metrics['accuracy']) == 1.0
  assert float(metrics['loss']) < 1.0
  chex.assert_tree_all_finite(state)


@pytest.mark.slow
def test_mobilefacenet_trains_every_parameter(trained):
  _, first, state, _, _ = trained
  moved = jax.tree.map(
    lambda a, b: np.abs(a - b).max() > 0, first.params, state.params
  )
  assert all(jax.tree.leaves(moved))


@pytest.mark.slow
def test_eval_mode_depends_on_no_other_image_and_recognises(trained):
  model, _, state, _, data = trained
  eval_images = mean_channel(pixels.to_float(data['image']))
  embed = jax.jit(
    lambda images: forward.apply_eval(
      model, state.params['backbone'], state.stats, images
    )
  )
  whole = embed(eval_images)
  mixed = embed(eval_images.at[1:].set(0.0))
  np.testing.assert_allclose(whole[0], mixed[0], atol=1e-4)
  logits = vectors.cosines(whole, state.params['head'])
  np.testing.assert_array_equal(np.argmax(logits, axis=1), data['label'])

"""The step of the second loss, on a network small enough to follow."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn

from palmjax.losses import metric
from palmjax.losses import soft_label as losses
from palmjax.models import forward, heads
from palmjax.networks import palm as palm_networks
from palmjax.ops import pixels
from palmjax.steps import classify, soft_label


class Tiny(nn.Module):
  """Flatten, project, normalise."""

  @nn.compact
  def __call__(self, images, *, train):
    x = nn.Dense(4, use_bias=False)(images.reshape(len(images), -1))
    return nn.BatchNorm(use_running_average=not train, momentum=0.5)(x)


def same(images):
  return images


def no_augment(key, images):
  del key
  return images


def batch(seed=0):
  rng = np.random.default_rng(seed)
  soft = rng.exponential(size=(2, 3)).astype(np.float32)
  return {
    'image': rng.integers(0, 256, (4, 2, 2, 3)).astype(np.uint8),
    'label': np.array([0, 2, 1, 1], np.int32),
    'generated': rng.integers(0, 256, (2, 2, 2, 3)).astype(np.uint8),
    'soft': soft / soft.sum(axis=1, keepdims=True),
  }


def make(tx=None, **options):
  tx = tx or optax.sgd(0.1)
  model = Tiny()
  options = {
    'preprocess': same,
    'augment': no_augment,
    'weight': 0.5,
    'augment_generated': True,
    **options,
  }
  step = soft_label.make_step(model, tx, **options)
  state = classify.create_state(
    model,
    tx,
    jax.random.key(1),
    input_shape=(2, 2, 3),
    head=heads.init_head(jax.random.key(2), 3, 4),
  )
  return model, step, state


def embeddings_by_hand(state, *parts):
  """Both parts normalised by their common statistics."""
  images = np.concatenate(parts) / 127.5 - 1.0
  kernel = np.asarray(state.params['backbone']['Dense_0']['kernel'])
  x = images.reshape(len(images), -1) @ kernel
  return (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + 1e-5)


def test_loss_and_update_by_hand():
  _, step, state = make()
  data = {**batch(), 'confidence': np.array([1.0, 0.4], np.float32)}
  after, metrics = jax.jit(step)(state, None, data, jax.random.key(0))
  x = embeddings_by_hand(state, data['image'], data['generated'])
  head = np.asarray(state.params['head'], np.float64)
  logits = x @ head.T
  p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
  target = np.concatenate([np.eye(3)[data['label']], data['soft']])
  terms = -np.sum(target * np.log(p), axis=1)
  weights = np.array([1, 1, 1, 1, 0.5, 0.2])
  np.testing.assert_allclose(
    metrics['loss'], np.sum(weights * terms) / weights.sum(), rtol=1e-4
  )
  np.testing.assert_allclose(
    metrics['loss/labelled'], terms[:4].mean(), rtol=1e-4
  )
  np.testing.assert_allclose(
    metrics['loss/generated'], terms[4:].mean(), rtol=1e-4
  )
  hits = logits.argmax(axis=1) == target.argmax(axis=1)
  np.testing.assert_allclose(metrics['accuracy'], hits[:4].mean())
  np.testing.assert_allclose(metrics['agreement'], hits[4:].mean())
  gradient = ((p - target) * weights[:, None]).T @ x / weights.sum()
  np.testing.assert_allclose(
    after.params['head'], head - 0.1 * gradient, atol=1e-5
  )


def test_margin_goes_to_labelled_images_alone():
  data = batch()
  results = []
  for radians in (0.0, 1.0):
    logits_fn = functools.partial(
      metric.arcface_logits, margin=radians, scale=4.0
    )
    _, step, state = make(logits_fn=logits_fn)
    results.append(jax.jit(step)(state, None, data, jax.random.key(0))[1])
  free, margin = results
  assert margin['loss/labelled'] > free['loss/labelled'] + 0.1
  assert margin['loss/generated'] == free['loss/generated']
  assert margin['accuracy'] == free['accuracy']


def test_augmentation_of_the_two_parts():
  keys, seen = [], []

  def augment(key, images):
    seen.append(len(images))
    jax.debug.callback(
      lambda key: keys.append(np.asarray(key).tobytes()),
      jax.random.key_data(key),
    )
    return images

  for flag, sizes in ((True, [4, 2]), (False, [4])):
    keys.clear()
    seen.clear()
    _, step, state = make(augment=augment, augment_generated=flag)
    jax.jit(step)(state, None, batch(), jax.random.key(0))
    jax.effects_barrier()
    assert seen == sizes
    assert len(set(keys)) == len(keys) == len(sizes)


def test_weight_zero_ignores_the_generated_labels():
  _, step, state = make(weight=0.0)
  data = batch()
  other = {**data, 'soft': data['soft'][:, ::-1]}
  step = jax.jit(step)
  after, _ = step(state, None, data, jax.random.key(0))
  after_other, _ = step(state, None, other, jax.random.key(0))
  chex.assert_trees_all_close(after.params, after_other.params, atol=1e-7)


def test_statistics_are_of_both_parts():
  _, step, state = make()
  data = batch()
  after, _ = jax.jit(step)(state, None, data, jax.random.key(0))
  images = np.concatenate([data['image'], data['generated']]) / 127.5 - 1.0
  kernel = np.asarray(state.params['backbone']['Dense_0']['kernel'])
  mean = (images.reshape(6, -1) @ kernel).mean(axis=0)
  np.testing.assert_allclose(
    after.stats['batch_stats']['BatchNorm_0']['mean'], 0.5 * mean, atol=1e-5
  )


def test_no_gradient_reaches_the_network_that_labels():
  model, _, state = make()
  teacher = palm_networks.make_classifier(
    model, same, logits_fn=metric.softmax_logits
  )
  data = batch()

  def loss(teacher_params, student_params):
    soft = losses.soft_labels(
      teacher(teacher_params, state.stats, data['generated'])
    )
    embeddings, _ = forward.apply_train(
      model,
      student_params['backbone'],
      state.stats,
      pixels.to_float(data['generated']),
      jax.random.key(0),
    )
    logits = metric.softmax_logits(embeddings, student_params['head'])
    return jnp.sum(losses.soft_cross_entropy(logits, soft))

  to_teacher, to_student = jax.jit(jax.grad(loss, argnums=(0, 1)))(
    state.params, state.params
  )
  assert all(not np.any(leaf) for leaf in jax.tree.leaves(to_teacher))
  assert all(np.any(leaf) for leaf in jax.tree.leaves(to_student['head']))


def test_one_trace_with_donation():
  _, step, state = make(optax.adam(1e-2))
  step = jax.jit(chex.assert_max_traces(step, n=1), donate_argnums=0)
  values = []
  for _ in range(3):
    state, metrics = step(state, None, batch(), jax.random.key(0))
    values.append(float(metrics['loss']))
  assert int(state.step) == 3
  assert values[2] < values[0]

"""Tasks: a palm network, whose embeddings are matched, before and after."""

import functools
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from palmjax.losses import metric
from palmjax.steps import classify, perturb, perturbed_tasks, robust
from tests.steps import tiny_robust

KEY = jax.random.key(5)
LABELS = np.array([0, 1, 2, 0], np.int32)


class Embedder(nn.Module):
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, images, *, train):
    x = nn.Conv(6, (4, 4), 4, dtype=self.dtype)(images)
    x = nn.BatchNorm(use_running_average=not train, momentum=0.5)(x)
    x = nn.relu(x).reshape(len(x), -1)
    return nn.Dense(8, dtype=self.dtype)(x).astype(jnp.float32)


def halved(images):
  """What a network reads need not be in the range of images."""
  return images[..., :1] / 2 - 3.0


def add_noise(key, images):
  noise = jax.random.uniform(key, images.shape, maxval=0.1)
  return jnp.clip(images + noise, -1, 1)


PARTS = {
  'preprocess': halved,
  'augment': add_noise,
  'logits_fn': metric.arcface_logits,
}
MODEL = Embedder()
TASK = perturbed_tasks.recogniser(MODEL, **PARTS)


def create_state():
  head = np.random.default_rng(6).normal(size=(3, 8)).astype(np.float32)
  return classify.create_state(
    MODEL,
    tiny_robust.SGD,
    jax.random.key(7),
    input_shape=(16, 16, 1),
    head=head,
  )


def data():
  return {'image': tiny_robust.batch()['image'], 'label': LABELS}


def run(kind, **options):
  step = robust.make_step(
    TASK, tiny_robust.SGD, tiny_robust.perturbation(kind), **options
  )
  return tiny_robust.quick_jit(step)(create_state(), None, data(), KEY)


def test_without_target_images_it_is_classification():
  after, metrics = run('none', statistics='joint')
  step = classify.make_step(MODEL, tiny_robust.SGD, **PARTS)
  other, others = tiny_robust.quick_jit(step)(create_state(), None, data(), KEY)
  chex.assert_trees_all_close(after, other, atol=1e-6)
  assert metrics['loss'] == pytest.approx(float(others['loss']), rel=1e-5)
  assert metrics['clean/accuracy'] == others['accuracy']


def test_images_are_perturbed_before_they_are_prepared():
  state = create_state()
  variables = (state.params, state.stats)
  examples = jax.device_get(tiny_robust.quick_jit(TASK.prepare)(KEY, data()))
  tiny_robust.assert_inside(examples[0], examples[0])
  assert (examples[1] == LABELS).all()

  @tiny_robust.quick_jit
  def find(variables, examples):
    start = tiny_robust.start(examples[0], KEY)
    targets = perturb.find_target_images(
      TASK, tiny_robust.perturbation('ot'), variables, examples, KEY
    )
    vectors = TASK.vectors(TASK.apply_eval(*variables, start))
    return targets, start, vectors

  (perturbed, metrics), start, (embeddings,) = jax.device_get(
    find(variables, examples)
  )
  tiny_robust.assert_inside(perturbed, examples[0])
  # Two of three channels are not read: there the start stays.
  np.testing.assert_allclose(perturbed[..., 1:], start[..., 1:], atol=1e-6)
  assert np.abs(perturbed[..., 0] - start[..., 0]).max() > 1e-3
  assert metrics['ot/distance'] > 0
  assert embeddings.shape == (4, 8)


@pytest.mark.parametrize('statistics', perturb.ATTACK_STATISTICS)
@pytest.mark.parametrize('kind', ['ot', 'distance', 'adversarial'])
def test_the_attack_computes_in_float32(kind, statistics):
  state = create_state()
  half = perturbed_tasks.recogniser(MODEL.clone(dtype=jnp.bfloat16), **PARTS)
  examples = TASK.prepare(KEY, data())
  perturbation = tiny_robust.perturbation(kind, statistics=statistics)

  def attack(task, variables, examples):
    return perturb.find_target_images(
      task, perturbation, variables, examples, KEY
    )

  attacks = [
    jax.make_jaxpr(functools.partial(attack, task))(
      (state.params, state.stats), examples
    )
    for task in (TASK, half)
  ]
  assert str(attacks[0]) == str(attacks[1])
  assert 'bf16' not in str(attacks[1])
  # The update does not.
  outputs = jax.make_jaxpr(half.apply_eval)(
    state.params, state.stats, examples[0]
  )
  assert 'bf16' in str(outputs)


def test_the_target_loss_has_the_margin():
  _, metrics = run('ot', weight=2.0)
  assert metrics['loss'] == pytest.approx(
    float(metrics['clean'] + 2 * metrics['perturbed']), rel=1e-5
  )
  state = create_state()

  @tiny_robust.quick_jit
  def by_hand(params, stats, data):
    key = jax.random.fold_in(KEY, 0)
    images, _ = TASK.prepare(jax.random.fold_in(key, 0), data)
    embeddings = MODEL.apply(
      {'params': params['backbone'], **stats}, halved(images), train=False
    )
    logits, free = (
      metric.arcface_logits(embeddings, params['head'], labels)
      for labels in (LABELS, None)
    )
    return metric.cross_entropy(logits, LABELS), jnp.argmax(free, axis=1)

  loss, predicted = by_hand(state.params, state.stats, data())
  assert metrics['clean'] == pytest.approx(float(loss), rel=1e-4)
  assert metrics['clean/accuracy'] == np.mean(np.equal(predicted, LABELS))

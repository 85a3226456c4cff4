"""The update of server distillation by hand, and a teacher that stays."""

import types

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from palmjax.losses import metric
from palmjax.steps import distill
from tests.steps import tiny_exits

T, LOGITS, EMBEDDINGS, RATE = 3.0, 0.7, 2.0, 0.1
TX = optax.sgd(RATE, momentum=0.9)


def flipped(images):
  """Input of the teacher: another front end than the student's."""
  return images[:, :, ::-1]


def make_step(tx, **options):
  options = {
    'teacher': tiny_exits.Layer(),
    'teacher_logits_fn': lambda e, w, labels: 2.0 * e @ w.T,
    'teacher_preprocess': flipped,
    'logits_fn': metric.softmax_logits,
    'preprocess': tiny_exits.same,
    'augment': tiny_exits.no_augment,
    'temperature': T,
    'logits_weight': LOGITS,
    'embeddings_weight': EMBEDDINGS,
  } | options
  return distill.make_step(tiny_exits.MODEL, tx, **options)


def teacher(classes=tiny_exits.CLASSES, seed=7):
  """Variables whose running statistics are no batch's."""
  rng = np.random.default_rng(seed)
  size = tiny_exits.SIZE

  def normal(*shape):
    return rng.normal(size=shape).astype(np.float32)

  return {
    'params': {
      'backbone': {
        'Dense_0': {'kernel': normal(12, size)},
        'BatchNorm_0': {'scale': normal(size), 'bias': normal(size)},
      },
      'head': normal(classes, size),
    },
    'batch_stats': {
      'BatchNorm_0': {'mean': normal(size), 'var': np.full(size, 4, 'f')}
    },
  }


@pytest.fixture(scope='module')
def updated():
  """One update, the step that made it, and the keys that it augments with."""
  seen = []

  def augment(key, images):
    data = jax.random.key_data(key)
    jax.debug.callback(lambda x: seen.append(x.tobytes()), data)
    return images

  step = tiny_exits.quick_jit(
    chex.assert_max_traces(make_step(TX, augment=augment), n=1),
    donate_argnums=0,
  )
  data, frozen = tiny_exits.batch(), {'teacher': teacher()}
  state = jax.device_get(tiny_exits.state(TX))
  after, metrics = step(fresh(state), frozen, data, tiny_exits.KEY)
  return types.SimpleNamespace(
    step=step,
    seen=seen,
    data=data,
    frozen=frozen,
    state=state,
    after=jax.device_get(after),
    metrics=metrics,
  )


def fresh(tree):
  """In buffers of its own, which a step may consume."""
  return jax.tree.map(jnp.array, tree)


def test_loss_and_update_by_hand(updated):
  """Claim 1a; the teacher normalises by its running statistics."""
  data, frozen, metrics = updated.data, updated.frozen, updated.metrics
  state, after = updated.state, updated.after
  params = frozen['teacher']['params']['backbone']
  stats = frozen['teacher']['batch_stats']['BatchNorm_0']
  x = (data['image'] / 127.5 - 1)[:, :, ::-1].reshape(tiny_exits.BATCH, -1)
  x = x @ params['Dense_0']['kernel']
  x = (x - stats['mean']) / np.sqrt(stats['var'] + 1e-5)
  teacher_e = x * params['BatchNorm_0']['scale'] + params['BatchNorm_0']['bias']
  teacher_z = 2 * teacher_e @ frozen['teacher']['params']['head'].T

  e = tiny_exits.embeddings_by_hand(state.params, data)
  head = np.asarray(state.params['head'], np.float64)
  z = np.einsum('lbd,lkd->lbk', e, head)
  labels, softmax = data['label'], tiny_exits.softmax
  one_hot = np.eye(tiny_exits.CLASSES)[labels]
  target, softened = softmax(teacher_z / T), softmax(z[-1] / T)
  unit, teacher_unit = (
    v / np.linalg.norm(v, axis=1, keepdims=True) for v in (e[-1], teacher_e)
  )
  want = {
    # Of every exit; the other terms are of the last.
    'classification': -(one_hot * np.log(softmax(z))).sum(2).mean(1).sum(),
    'logits': T**2 * (target * np.log(target / softened)).sum(1).mean(),
    'embeddings': 1 - (unit * teacher_unit).sum(1).mean(),
  }
  for name, value in want.items():
    np.testing.assert_allclose(metrics[f'loss/{name}'], value, rtol=1e-4)
  total = (
    want['classification']
    + LOGITS * want['logits']
    + EMBEDDINGS * want['embeddings']
  )
  np.testing.assert_allclose(metrics['loss'], total, rtol=1e-4)
  np.testing.assert_allclose(
    metrics['accuracy/teacher'], (teacher_z.argmax(1) == labels).mean()
  )
  assert metrics['accuracy'] == metrics['accuracy/exit2']

  gradient = softmax(z) - one_hot
  gradient[-1] += LOGITS * T * (softened - target)
  gradient = np.einsum('lbk,lbd->lkd', gradient, e) / tiny_exits.BATCH
  np.testing.assert_allclose(
    after.params['head'], head - RATE * gradient, atol=1e-5
  )
  assert after.step == 1
  chex.assert_trees_all_equal_shapes_and_dtypes(state, after)


def test_embeddings_of_the_teacher_pull_the_backbone(updated):
  """Its head turned along with them, the logits are the same."""
  other = jax.tree.map(np.copy, updated.frozen)
  # −e and −W: the opposite direction.
  params = other['teacher']['params']
  params['head'] = -params['head']
  for name in ('scale', 'bias'):
    params['backbone']['BatchNorm_0'][name] *= -1
  after, metrics = updated.step(
    fresh(updated.state), other, updated.data, tiny_exits.KEY
  )
  np.testing.assert_allclose(
    metrics['loss/logits'], updated.metrics['loss/logits']
  )
  np.testing.assert_allclose(
    metrics['loss/embeddings'],
    2 - updated.metrics['loss/embeddings'],
    rtol=1e-5,
  )
  for layer in ('first', 'second'):
    one, two = (
      x.params['backbone'][layer]['Dense_0']['kernel']
      for x in (after, updated.after)
    )
    assert np.abs(one - two).max() > 1e-4, layer
  np.testing.assert_allclose(
    after.params['head'], updated.after.params['head'], atol=1e-6
  )


def test_palms_without_labels_have_the_last_term_alone(updated):
  """A mean over all images; batch statistics are those of all, too."""
  data, more = updated.data, tiny_exits.batch(seed=3)['image'][:4]
  state, frozen = updated.state, updated.frozen
  step = tiny_exits.quick_jit(make_step(TX))
  _, metrics = step(state, frozen, data | {'unlabelled': more}, tiny_exits.KEY)
  images = {'image': np.concatenate([data['image'], more])}
  e = tiny_exits.embeddings_by_hand(state.params, images)
  of_labels = e[:, : tiny_exits.BATCH]
  head = np.asarray(state.params['head'], np.float64)
  p = tiny_exits.softmax(np.einsum('lbd,lkd->lbk', of_labels, head))
  rows = np.arange(tiny_exits.BATCH)
  np.testing.assert_allclose(
    metrics['loss/classification'],
    -np.log(p[:, rows, data['label']]).mean(axis=1).sum(),
    rtol=1e-4,
  )
  params, stats = frozen['teacher']['params'], frozen['teacher']['batch_stats']
  teacher_e = tiny_exits.Layer().apply(
    {'params': params['backbone'], 'batch_stats': stats},
    flipped(images['image'] / 127.5 - 1.0),
    train=False,
  )
  unit, teacher_unit = (
    v / np.linalg.norm(v, axis=1, keepdims=True) for v in (e[-1], teacher_e)
  )
  np.testing.assert_allclose(
    metrics['loss/embeddings'],
    1 - (unit * teacher_unit).sum(axis=1).mean(),
    rtol=1e-4,
  )
  assert metrics['loss/embeddings'] != updated.metrics['loss/embeddings']


def test_teacher_and_student_that_do_not_fit_are_refused():
  state, data = tiny_exits.state(TX), tiny_exits.batch()
  with pytest.raises(ValueError, match='teacher has 5 classes, the student 3'):
    jax.eval_shape(
      make_step(TX),
      *(state, {'teacher': teacher(classes=5)}, data, tiny_exits.KEY),
    )


def test_three_steps_are_two_and_one(updated):
  """One trace, donated, the same bits; the teacher's buffers stay."""
  step, data = updated.step, updated.data
  frozen, state = fresh(updated.frozen), fresh(updated.state)
  jax.effects_barrier()
  updated.seen.clear()
  for number in range(3):
    state, metrics = step(state, frozen, data, tiny_exits.KEY)
    if number == 1:
      kept = jax.device_get(state)
  jax.effects_barrier()
  # Each step augments with a key of its own.
  assert len(set(updated.seen)) == 3
  again, _ = step(fresh(kept), frozen, data, tiny_exits.KEY)
  chex.assert_trees_all_equal(state, again)
  assert metrics['loss'] < updated.metrics['loss']
  chex.assert_trees_all_equal(frozen, {'teacher': teacher()})

"""The update of self-distillation by hand, its arms, the same bits twice."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from palmjax.losses import metric
from palmjax.steps import self_distill
from tests.steps import tiny_exits

T, ALPHA, BETA, RATE, MARGIN = 3.0, 0.3, 0.03, 0.1, 0.7
TX = optax.sgd(RATE)


def margin_logits(embeddings, head, labels):
  """Inner products, that of the label less a margin."""
  logits = metric.softmax_logits(embeddings, head)
  if labels is None:
    return logits
  return logits - MARGIN * jax.nn.one_hot(labels, tiny_exits.CLASSES)


def make_step(tx=TX, **options):
  options = {
    'logits_fn': margin_logits,
    'preprocess': tiny_exits.same,
    'augment': tiny_exits.no_augment,
  } | options
  return self_distill.make_step(tiny_exits.MODEL, tx, **options)


@tiny_exits.quick_jit
def updated_with(weights, state, data):
  """One update; weights are arguments here, so that arms compile once."""
  step = make_step(**weights)
  return step(state, None, data, tiny_exits.KEY)


def run(data, *, alpha=ALPHA, beta=BETA):
  """(state after, metrics)."""
  weights = {'alpha': alpha, 'beta': beta}
  return updated_with(weights, tiny_exits.state(TX), data)


@pytest.fixture(scope='module')
def updated():
  """One update with labels of both kinds: data, states, metrics."""
  data = tiny_exits.softly(tiny_exits.batch())
  return data, tiny_exits.state(TX), *run(data)


def test_loss_and_update_by_hand(updated):
  """Claim 4b: L_cls + α L_sd1 + β L_sd2."""
  data, state, after, metrics = updated
  e = tiny_exits.embeddings_by_hand(state.params, data)
  head = np.asarray(state.params['head'], np.float64)
  z = np.einsum('lbd,lkd->lbk', e, head)
  one_hot = np.eye(tiny_exits.CLASSES)[data['label']]
  hard = ~data['has_soft'][:, None]
  target = np.where(hard, one_hot, data['soft'])
  # The margin is for integer labels.
  classified = tiny_exits.softmax(z - MARGIN * hard * one_hot)
  fused = tiny_exits.softmax(z.mean(axis=0) / T)
  softened = tiny_exits.softmax(z / T)
  want = {
    'classification': -(target * np.log(classified)).sum(2),
    'fused': T**2 * (fused * np.log(fused / softened)).sum(2),
    'one_to_many': ((e - e[-1]) ** 2).sum(2),
  }
  want = {name: x.mean(axis=1).sum() for name, x in want.items()}
  for name, value in want.items():
    np.testing.assert_allclose(metrics[f'loss/{name}'], value, rtol=1e-4)
  total = (
    want['classification'] + ALPHA * want['fused'] + BETA * want['one_to_many']
  )
  np.testing.assert_allclose(metrics['loss'], total, rtol=1e-4)
  for number, mine in enumerate(z, start=1):
    np.testing.assert_allclose(
      metrics[f'accuracy/exit{number}'],
      (mine.argmax(axis=1) == data['label']).mean(),
    )
  assert metrics['accuracy'] == metrics['accuracy/exit2']
  np.testing.assert_allclose(
    metrics['embedding_norm'], np.linalg.norm(e[-1], axis=1).mean(), rtol=1e-4
  )

  gradient = classified - target + ALPHA * T * (softened - fused)
  gradient = np.einsum('lbk,lbd->lkd', gradient, e) / tiny_exits.BATCH
  np.testing.assert_allclose(
    after.params['head'], head - RATE * gradient, atol=1e-5
  )
  assert after.step == 1


def kernel(state, layer):
  return np.asarray(state.params['backbone'][layer]['Dense_0']['kernel'])


def test_every_kernel_and_all_statistics_move(updated):
  _, state, after, _ = updated
  for layer in ('first', 'second'):
    assert np.abs(kernel(state, layer) - kernel(after, layer)).max() > 1e-4
  moved = jax.tree.map(
    lambda a, b: np.abs(a - b).max() > 1e-3, state.stats, after.stats
  )
  assert all(jax.tree.leaves(moved))


def test_statistics_alone(updated):
  """The control: what it changes is what any update changes in them."""
  data, state, after, metrics = updated
  step = tiny_exits.quick_jit(make_step(statistics_only=True))
  control, its_metrics = step(state, None, data, tiny_exits.KEY)
  chex.assert_trees_all_equal(control.params, state.params)
  chex.assert_trees_all_equal(control.opt_state, state.opt_state)
  chex.assert_trees_all_close(control.stats, after.stats, rtol=1e-6)
  assert control.step == 1
  assert its_metrics.keys() == metrics.keys() - {'grad_norm', 'update_norm'}
  np.testing.assert_allclose(its_metrics['loss'], metrics['loss'], rtol=1e-6)


def test_arms_without_one_guidance(updated):
  data, _, after, metrics = updated
  parts = {name: metrics[f'loss/{name}'] for name in ('fused', 'one_to_many')}
  for arm, lacks in (('alpha', 'fused'), ('beta', 'one_to_many')):
    weight = {'alpha': ALPHA, 'beta': BETA}[arm]
    other, its_metrics = run(data, **{arm: 0.0})
    np.testing.assert_allclose(
      its_metrics['loss'], metrics['loss'] - weight * parts[lacks], rtol=1e-5
    )
    # What is left out is measured all the same.
    np.testing.assert_allclose(its_metrics[f'loss/{lacks}'], parts[lacks])
    change = kernel(after, 'first') - kernel(other, 'first')
    assert np.abs(change).max() > 1e-5, arm


def test_samples_without_soft_labels(updated):
  """First target samples alone are the same as a mask of nothing."""
  data, *_ = updated
  masked = data | {'has_soft': np.zeros(tiny_exits.BATCH, bool)}
  plain = {name: data[name] for name in ('image', 'label')}
  after, _ = run(masked)
  # Float images, too: a camera's values need not be stored as bytes.
  floats = plain | {'image': (data['image'] / 127.5 - 1).astype(np.float32)}
  want, _ = run(floats)
  chex.assert_trees_all_close(after.params, want.params, atol=1e-6)


def test_three_steps_are_two_and_one():
  """One trace, donated, the same bits, and a key of its own for each step."""
  tx, seen = optax.adam(1e-2), []

  def augment(key, images):
    data = jax.random.key_data(key)
    jax.debug.callback(lambda x: seen.append(x.tobytes()), data)
    return images + 0.1 * jax.random.normal(key, images.shape)

  step = tiny_exits.quick_jit(
    chex.assert_max_traces(make_step(tx, augment=augment), n=1),
    donate_argnums=0,
  )
  state, data = tiny_exits.state(tx), tiny_exits.softly(tiny_exits.batch())
  losses = []
  for number in range(3):
    state, metrics = step(state, None, data, tiny_exits.KEY)
    losses.append(float(metrics['loss']))
    if number == 1:
      # As a file would keep it; a donated buffer may be used again.
      kept = jax.tree.map(np.array, state)
  jax.effects_barrier()
  assert len(set(seen)) == 3
  again = jax.tree.map(jnp.asarray, kept)
  again, _ = step(again, None, data, tiny_exits.KEY)
  chex.assert_trees_all_equal(state, again)
  assert int(state.step) == 3
  assert losses[2] < losses[0]

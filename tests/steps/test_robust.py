"""The update on images and target images: by hand, statistics, state."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from palmjax.engine import finite, loop
from palmjax.engine import mesh as meshes
from palmjax.steps import detect, perturb, robust
from tests.steps import tiny_robust, tiny_updates


@tiny_robust.quick_jit
def by_hand(params, stats, images, perturbed, data):
  """(loss, its parts and terms), gradients by parameters and x*."""

  def both(params, perturbed):
    clean, terms, _ = tiny_robust.loss(params, stats, images, data)
    other, _, _ = tiny_robust.loss(params, stats, perturbed, data)
    return clean + tiny_updates.WEIGHT * other, (clean, other, terms)

  return jax.value_and_grad(both, argnums=(0, 1), has_aux=True)(
    params, perturbed
  )


@pytest.mark.parametrize(
  'kind',
  [
    'ot',
    *(
      pytest.param(kind, marks=pytest.mark.slow)
      for kind in perturb.KINDS
      if kind not in ('none', 'ot')
    ),
  ],
)
def test_one_update_by_hand(kind):
  """L1 + w L2; the labels stay, and no gradient passes through x*."""
  state, after, metrics = tiny_updates.run(kind)
  data = tiny_robust.batch()
  images = tiny_robust.images(data)
  # δ is 0 at first.
  perturbed = images
  if kind != 'free':
    perturbed = tiny_updates.target_images(kind, state, data)
  stats = robust.network_stats(state.stats)
  (loss, (clean, other, terms)), (slopes, direction) = by_hand(
    state.params, stats, images, perturbed, data
  )
  expected = {'loss': loss, 'clean': clean, 'perturbed': other}
  expected |= {f'clean/{name}': value for name, value in terms.items()}
  for name, value in expected.items():
    np.testing.assert_allclose(metrics[name], value, rtol=1e-4, err_msg=name)
  moved = jax.tree.map(
    lambda p, g: p - tiny_updates.RATE * g, state.params, slopes
  )
  chex.assert_trees_all_close(after.params, moved, atol=1e-5)
  chex.assert_trees_all_equal(robust.network_stats(after.stats), stats)
  assert after.step == 1
  if kind == 'free':
    change = after.stats['perturbation']
    clear = np.abs(direction) > 1e-3 * np.abs(direction).max()
    np.testing.assert_allclose(
      change[clear],
      2 * tiny_robust.EPSILON * np.sign(direction)[clear],
      atol=1e-6,
    )
    assert np.abs(change).max() <= 2 * tiny_robust.EPSILON + 2e-7


@pytest.mark.parametrize('statistics', ['running', 'separate'])
def test_the_distance_after_the_ascent_is_told(statistics):
  """By hand, at the target images; without labels it rises."""
  attack = {'running': 'running', 'separate': 'batch'}[statistics]
  step, state = tiny_updates.make(
    'ot', statistics=statistics, changes={'statistics': attack}
  )
  data = tiny_robust.batch()
  _, metrics = tiny_robust.quick_jit(step)(state, None, data, tiny_updates.KEY)
  assert metrics['ot/gained'] > 0.1 * metrics['ot/distance'] > 0
  if statistics == 'running':
    variables = state.params, robust.network_stats(state.stats)
    after = tiny_robust.distance(
      variables,
      tiny_updates.target_images('ot', state, data),
      tiny_robust.images(data),
    )
    assert metrics['ot/distance'] + metrics['ot/gained'] == pytest.approx(
      float(after), rel=1e-3
    )


@pytest.mark.parametrize(
  'attack, update', [('running', 'joint'), ('running', 'separate')]
)
def test_another_look_than_that_of_the_attack_tells_no_gain(attack, update):
  _, _, metrics = tiny_updates.run(
    'ot', statistics=update, changes={'statistics': attack}
  )
  assert 'ot/distance' in metrics
  assert 'ot/gained' not in metrics


@pytest.mark.slow
def test_without_target_images_it_is_the_detector_s_step():
  """The arm 'plain', with the keys of an augmentation."""

  def augment(key, data):
    noise = jax.random.randint(key, data['image'].shape, 0, 20)
    return data | {'image': (data['image'] // 2 + noise).astype(jnp.uint8)}

  _, after, metrics = tiny_updates.run(
    'none', task=tiny_robust.task(augment), statistics='joint'
  )
  step = detect.make_step(tiny_robust.MODEL, tiny_robust.SGD, augment=augment)
  other, others = tiny_robust.quick_jit(step)(
    tiny_robust.state(), None, tiny_robust.batch(), tiny_updates.KEY
  )
  chex.assert_trees_all_close(after, other, atol=1e-6)
  assert metrics['loss'] == pytest.approx(float(others['loss']))
  assert metrics['clean'] == metrics['loss']
  assert metrics['perturbed'] == 0


def test_free_perturbations_are_carried_over_replayed_batches():
  seen = []

  def augment(key, data):
    seen.append(None)
    return data | {
      'image': jax.random.bits(key, data['image'].shape, jnp.uint8)
    }

  step, state = tiny_updates.make(
    'free',
    task=tiny_robust.task(augment),
    tx=optax.sgd(0.0),
    changes={'replays': 2, 'epsilon': 0.1},
  )
  step = tiny_robust.quick_jit(step)
  updates, changes = [], []
  for _ in range(4):
    state, metrics = step(state, None, tiny_robust.batch(), tiny_updates.KEY)
    updates.append(metrics)
    changes.append(np.asarray(state.stats['perturbation']))
  clean = [float(metrics['clean']) for metrics in updates]
  # Nothing is learnt: what differs is the image.
  assert clean[0] == clean[1] != clean[2] == clean[3]
  assert updates[0]['perturbed'] == pytest.approx(clean[0])
  # δ of the first update raises the loss in the second.
  assert updates[1]['perturbed'] > updates[0]['perturbed']
  assert (changes[0] != changes[1]).any()
  assert all(np.abs(change).max() <= 0.2 + 1e-6 for change in changes)
  assert len(seen) == 1


def test_other_kinds_augment_each_step_by_itself():
  """`replays` is of kind 'free': recipes give it to all arms."""

  def augment(key, data):
    return data | {
      'image': jax.random.bits(key, data['image'].shape, jnp.uint8)
    }

  step, state = tiny_updates.make(
    'none',
    task=tiny_robust.task(augment),
    tx=optax.sgd(0.0),
    changes={'replays': 4},
  )
  step = tiny_robust.quick_jit(step)
  state, first = step(state, None, tiny_robust.batch(), tiny_updates.KEY)
  _, second = step(state, None, tiny_robust.batch(), tiny_updates.KEY)
  assert first['clean'] != second['clean']


def fit(step, state, workdir, num_steps, mesh):
  def batches(start):
    for i in range(start, num_steps):
      yield tiny_robust.batch(seed=i)

  end, _ = loop.fit(
    loop.always(step),
    state,
    frozen=None,
    batches=batches,
    num_steps=num_steps,
    key=tiny_updates.KEY,
    workdir=workdir,
    mesh=mesh,
    name='robust',
    ckpt_every=2,
    log_every=2,
  )
  return jax.device_get(end)


@pytest.mark.parametrize(
  'kind, statistics',
  [
    ('free', 'separate'),
    pytest.param('ot', 'joint', marks=pytest.mark.slow),
  ],
)
def test_a_run_that_goes_on_has_the_same_bits(kind, statistics, tmp_path):
  """Donated; all that the next update needs lies in the checkpoint."""
  step, state = tiny_updates.make(
    kind, statistics=statistics, changes={'replays': 2}
  )
  mesh = meshes.make(1)
  step = meshes.jit_step(step, mesh)
  fit(step, state, tmp_path / 'parts', 2, mesh)
  parts = fit(step, state, tmp_path / 'parts', 4, mesh)
  whole = fit(step, state, tmp_path / 'whole', 4, mesh)
  chex.assert_trees_all_equal(parts, whole)
  chex.assert_trees_all_equal_shapes_and_dtypes(whole, jax.device_get(state))
  assert whole.step == 4


def test_a_distance_that_is_no_number_is_refused_by_name(tmp_path):
  task = tiny_robust.task()
  task = task._replace(vectors=lambda outputs: [outputs[1][1].mean((1, 2)) / 0])
  step, state = tiny_updates.make('ot', task=task)
  mesh = meshes.make(1)
  with pytest.raises(
    finite.NonFiniteError, match=r'^ot/distance is nan at step 1 of'
  ):
    fit(meshes.jit_step(step, mesh), state, tmp_path, 2, mesh)


@pytest.mark.parametrize(
  'options, message',
  [
    ({'statistics': 'both'}, 'statistics=both: choose one of running, joint'),
    ({'weight': -1.0}, 'weight=-1.0: give 0 or more'),
    ({'changes': {'epsilon': 2.0}}, 'epsilon=2.0: give a share'),
  ],
)
def test_errors_name_what_is_wrong(options, message):
  with pytest.raises(ValueError, match=f'^{message}'):
    tiny_updates.make('ot', **options)

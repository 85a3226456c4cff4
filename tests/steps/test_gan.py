"""GAN updates: what each changes, how often each is due, and ADA's steering."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from palmjax.data import ada
from palmjax.engine import optim
from palmjax.losses import gan as gan_losses
from palmjax.models import discriminator as discriminator_lib
from palmjax.models import generator as generator_lib
from palmjax.steps import gan

SIZE, BATCH = 8, 4
GENERATOR = generator_lib.Generator(
  SIZE, latent_size=4, mapping_layers=1, fmap_base=16, fmap_max=4
)
DISCRIMINATOR = discriminator_lib.Discriminator(SIZE, fmap_base=16, fmap_max=4)
KEY = jax.random.key(42)


def plain(key, images, p):
  """No augmentation."""
  del key, p
  return images


def make(augment=plain, **options):
  txs = (
    optim.lazy_adam(0.002, b1=0.0, b2=0.99, interval=4),
    optim.lazy_adam(0.002, b1=0.0, b2=0.99, interval=16),
  )
  steps = gan.make_steps(
    GENERATOR,
    DISCRIMINATOR,
    *txs,
    augment=augment,
    **{'r1_gamma': 0.1, **options},
  )
  create = functools.partial(gan.create_state, GENERATOR, DISCRIMINATOR, *txs)
  return steps, create


def fresh(create):
  return create(batch(), jax.random.key(0))


def batch(seed=0):
  rng = np.random.default_rng(seed)
  image = rng.integers(0, 256, (BATCH, SIZE, SIZE, 3), dtype=np.uint8)
  return {'image': jnp.asarray(image)}


@pytest.fixture(scope='module')
def built():
  """Jitted steps with the whole of ADA, and a state in the middle of a run."""
  steps, create = make(ada.augment, ada_ramp_kimg=1.0)
  state = fresh(create)
  state['ada']['p'] = jnp.float32(0.5)
  jitted = gan.Steps(*(jax.jit(step) for step in steps))
  state, _ = jitted.discriminator(state, None, batch(), KEY)
  state, _ = jitted.generator(state, None, batch(), KEY)
  return jitted, state


def changed(before, after):
  """Paths of leaves that differ in any bit."""
  before = jax.tree_util.tree_leaves_with_path(before)
  after = jax.tree_util.tree_leaves_with_path(after)
  assert len(before) == len(after)
  return {
    jax.tree_util.keystr(path, simple=True, separator='/')
    for (path, x), (_, y) in zip(before, after, strict=True)
    if np.asarray(x).tobytes() != np.asarray(y).tobytes()
  }


def fields(paths):
  """`discriminator/params/…` to `discriminator/params`."""
  return {'/'.join(path.split('/')[:2]) for path in paths}


def update(built, name):
  steps, state = built
  after, metrics = getattr(steps, name)(state, None, batch(1), KEY)
  chex.assert_tree_all_finite(after)
  for value in metrics.values():
    assert value.shape == ()
    assert value.dtype == jnp.float32
  return changed(state, after), after, metrics


def test_discriminator_step_changes_the_discriminator_and_ada(built):
  paths, after, metrics = update(built, 'discriminator')
  assert fields(paths) == {
    'discriminator/step',
    'discriminator/params',
    'discriminator/opt_state',
    'ada/sign_sum',
  }
  assert after['discriminator'].step == 2
  assert set(metrics) == {'d/loss', 'd/real', 'd/fake', 'ada/p', 'ada/sign'}


def test_r1_step_changes_the_discriminator_but_not_its_clock(built):
  paths, _, metrics = update(built, 'r1')
  assert fields(paths) == {'discriminator/params', 'discriminator/opt_state'}
  assert metrics['d/r1'] > 0


def test_generator_step_changes_the_generator_and_its_average(built):
  paths, after, _ = update(built, 'generator')
  assert fields(paths) == {
    'generator/step',
    'generator/params',
    'generator/stats',
    'generator/opt_state',
    'generator/ema',
  }
  assert after['generator'].step == 2


def test_path_length_step_changes_the_generator_but_not_its_average(built):
  paths, after, metrics = update(built, 'path_length')
  assert fields(paths) == {
    'generator/params',
    'generator/opt_state',
    'path_length',
  }
  np.testing.assert_array_equal(after['path_length'], metrics['g/path_length'])
  assert after['path_length'] > 0


def test_every_parameter_is_trained(built):
  for name in ('discriminator', 'generator'):
    paths, after, _ = update(built, name)
    trained = {path for path in paths if path.startswith(f'{name}/params')}
    assert len(trained) == len(jax.tree.leaves(after[name].params))


def test_regularisers_share_the_adam_state_of_the_main_update(built):
  steps, state = built
  count = state['discriminator'].opt_state[0].count
  state, _ = steps.r1(state, None, batch(), KEY)
  assert state['discriminator'].opt_state[0].count == count + 1
  count = state['generator'].opt_state[0].count
  state, _ = steps.path_length(state, None, batch(), KEY)
  assert state['generator'].opt_state[0].count == count + 1


def sgd_change(step_name, network, **options):
  """Change of the parameters under plain gradient descent of rate 1."""
  tx = optax.sgd(1.0)
  steps = gan.make_steps(
    GENERATOR,
    DISCRIMINATOR,
    tx,
    tx,
    augment=plain,
    **{'r1_gamma': 0.1, **options},
  )
  state = gan.create_state(
    GENERATOR, DISCRIMINATOR, tx, tx, batch(), jax.random.key(0)
  )
  after, _ = jax.jit(getattr(steps, step_name))(state, None, batch(), KEY)
  return jax.tree.map(
    lambda x, y: y - x, state[network].params, after[network].params
  )


@pytest.mark.parametrize(
  'step, network, option',
  [
    ('r1', 'discriminator', 'r1_interval'),
    ('path_length', 'generator', 'path_length_interval'),
  ],
)
def test_the_interval_multiplies_the_gradient(step, network, option):
  once = sgd_change(step, network, **{option: 1})
  thrice = sgd_change(step, network, **{option: 3})
  chex.assert_trees_all_close(
    jax.tree.map(lambda x: 3 * x, once), thrice, rtol=2e-3, atol=1e-5
  )


def test_discriminator_loss_is_that_of_two_separate_batches():
  # A twin of the step: real and drawn images go through one at a time.
  steps, create = make()
  state = fresh(create)
  seen = []

  def spy(key, images, p):
    del key, p
    seen.append(images)
    return images

  spying, _ = make(spy)
  _, metrics = spying.discriminator(state, None, batch(), KEY)
  (images,) = seen
  real = batch()['image'].astype(jnp.float32) / 127.5 - 1
  np.testing.assert_allclose(images[:BATCH], real, atol=1e-6)
  variables = {'params': state['discriminator'].params}
  want = gan_losses.discriminator_loss(
    DISCRIMINATOR.apply(variables, real),
    DISCRIMINATOR.apply(variables, images[BATCH:]),
  )
  np.testing.assert_allclose(metrics['d/loss'], want, rtol=1e-5)


def test_no_two_updates_and_no_two_steps_see_the_same_latents_or_keys():
  keys, drawings = [], []

  def spy(key, images, p):
    del p
    keys.append(np.asarray(jax.random.key_data(key)))
    drawings.append(np.asarray(images[-BATCH:]))
    return images

  steps, create = make(spy)
  state = fresh(create)
  for _ in range(2):
    state, _ = steps.discriminator(state, None, batch(), KEY)
    state, _ = steps.generator(state, None, batch(), KEY)
    state, _ = steps.r1(state, None, batch(), KEY)
  assert len(keys) == 6
  assert len({k.tobytes() for k in keys}) == 6
  # Discriminator and generator updates drew from the same parameters only in
  # the first iteration: there the images tell whether the latents differ.
  assert np.abs(drawings[0] - drawings[1]).max() > 1e-2


def test_clean_run_is_reproducible(built):
  steps, state = built
  first, _ = steps.discriminator(state, None, batch(), KEY)
  second, _ = steps.discriminator(state, None, batch(), KEY)
  assert changed(first, second) == set()
  other, _ = steps.discriminator(state, None, batch(), jax.random.key(43))
  assert changed(first, other)


def test_the_moving_average_follows_and_is_not_aliased(built):
  steps, state = built
  after, _ = steps.generator(state, None, batch(), KEY)
  g = after['generator']
  decay = gan_losses.ema_decay(BATCH, 10.0, images_seen=BATCH)
  want = jax.tree.map(
    lambda old, new: decay * old + (1 - decay) * new,
    state['generator'].ema,
    g.params,
  )
  chex.assert_trees_all_close(g.ema, want, rtol=1e-5, atol=1e-6)


def test_buffers_of_a_fresh_state_are_its_own():
  _, create = make()
  pointers = [
    leaf.unsafe_buffer_pointer() for leaf in jax.tree.leaves(fresh(create))
  ]
  assert len(set(pointers)) == len(pointers)


def test_donated_and_compiled_once_for_three_iterations():
  steps, create = make(ada.augment)
  state = fresh(create)
  donating = []
  for step in steps:
    traced = chex.assert_max_traces(step, n=1)
    donating.append(jax.jit(traced, donate_argnums=0))
  due = gan.schedule(
    gan.Steps(*donating), r1_interval=1, path_length_interval=1
  )
  for i in range(3):
    for step in due(i):
      state, metrics = step(state, None, batch(i), KEY)
      chex.assert_tree_all_finite(metrics)
  assert state['discriminator'].step == state['generator'].step == 3


def names(due, iterations):
  return [''.join(due(i)) for i in range(iterations)]


LETTERS = gan.Steps('D', 'r', 'G', 'p')


def test_order_of_the_patent():
  due = gan.schedule(LETTERS, r1_interval=3, path_length_interval=2)
  assert names(due, 6) == ['DG', 'DGp', 'DrG', 'DGp', 'DG', 'DrGp']


def test_order_of_stylegan2():
  due = gan.schedule(
    LETTERS, r1_interval=3, path_length_interval=2, order='stylegan2'
  )
  assert names(due, 6) == ['GpDr', 'GD', 'GpD', 'GDr', 'GpD', 'GD']


def test_published_intervals_are_the_default():
  due = gan.schedule(LETTERS)
  calls = ''.join(names(due, 160))
  assert [calls.count(k) for k in 'DrGp'] == [160, 10, 160, 40]


def test_bad_schedules_are_refused():
  with pytest.raises(ValueError, match="'patent' or 'stylegan2'"):
    gan.schedule(LETTERS, order='random')
  with pytest.raises(ValueError, match='at least 1'):
    gan.schedule(LETTERS, r1_interval=0)


def steer(logits, *, p, count, sign_sum=0.0, limit=1.0):
  state = {'p': p, 'sign_sum': sign_sum, 'sign': 0.0}
  return gan._steer(
    jax.tree.map(jnp.float32, state),
    jnp.asarray(logits, jnp.float32),
    count=jnp.int32(count),
    interval=4,
    target=0.6,
    ramp_kimg=500.0,
    limit=limit,
  )


def test_p_rises_when_real_scores_are_sure_and_falls_otherwise():
  # 2 images × 4 batches / 500,000 = 1.6e-5 per update of p.
  sure = steer([3.0, 1.0], p=0.5, count=4, sign_sum=3.0)
  np.testing.assert_allclose(sure['p'], 0.5 + 1.6e-5, rtol=1e-7)
  np.testing.assert_allclose(sure['sign'], 1.0)
  unsure = steer([3.0, -1.0], p=0.5, count=4, sign_sum=2.0)
  np.testing.assert_allclose(unsure['p'], 0.5 - 1.6e-5, rtol=1e-7)
  np.testing.assert_allclose(unsure['sign'], 0.5)
  assert sure['sign_sum'] == unsure['sign_sum'] == 0


def test_p_waits_for_four_batches():
  got = steer([3.0, 1.0, -2.0, 5.0], p=0.25, count=3, sign_sum=1.5)
  assert got['p'] == 0.25
  assert got['sign_sum'] == 2.0
  assert got['sign'] == 0.0


def test_p_is_bounded():
  assert steer([-1.0], p=0.0, count=4)['p'] == 0.0
  assert steer([1.0], p=0.8, count=4, sign_sum=3.0, limit=0.8)['p'] == (
    jnp.float32(0.8)
  )


def test_p_is_steered_in_the_discriminator_step():
  steps, create = make(ada_ramp_kimg=0.001, ada_interval=1, ada_target=-2.0)
  state, metrics = steps.discriminator(fresh(create), None, batch(), KEY)
  assert state['ada']['p'] == metrics['ada/p'] == 1.0

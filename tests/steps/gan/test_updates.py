"""GAN updates: what each changes, how often each is due, and ADA's steering."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from palmjax.losses import gan as gan_losses
from palmjax.steps.gan import ada, updates
from tests.steps.gan import small_gan


def run(step, state, data, key=small_gan.KEY):
  """One update of a copy of `state`, which the step may destroy."""
  return step(jax.tree.map(jnp.copy, state), None, data, key)


@pytest.fixture(scope='module')
def built():
  """Steps with the whole of ADA, and a state in the middle of a run.

  Compiled as in production: donating, and never traced a second time.
  """
  steps, fresh = small_gan.make(ada.augment, ada_ramp_kimg=1.0)
  chex.clear_trace_counter()
  steps = updates.Steps(
    *(
      small_gan.jit(chex.assert_max_traces(step, n=1), donate_argnums=0)
      for step in steps
    )
  )
  state = fresh()
  state['ada']['p'] = jnp.float32(0.5)
  state, _ = steps.discriminator(state, None, small_gan.batch(), small_gan.KEY)
  state, _ = steps.generator(state, None, small_gan.batch(), small_gan.KEY)
  return steps, state


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
  after, metrics = run(getattr(steps, name), state, small_gan.batch(1))
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
  assert set(metrics) == {
    'd/loss',
    'd/real',
    'd/fake',
    'd/grad_norm',
    'd/update_norm',
    'ada/p',
    'ada/sign',
  }


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
  for step, network in (
    (steps.r1, 'discriminator'),
    (steps.path_length, 'generator'),
  ):
    after, _ = run(step, state, small_gan.batch())
    count = state[network].opt_state[0].count
    assert after[network].opt_state[0].count == count + 1


@pytest.mark.parametrize(
  'name, network, option',
  [
    ('r1', 'discriminator', 'r1_interval'),
    pytest.param(
      *('path_length', 'generator', 'path_length_interval'),
      marks=pytest.mark.slow,
    ),
  ],
)
def test_the_interval_multiplies_the_gradient(name, network, option):
  # An optimiser that moves nothing and keeps the gradient as its state.
  recorder = optax.GradientTransformation(
    lambda params: jax.tree.map(jnp.zeros_like, params),
    lambda grads, _, params: (jax.tree.map(jnp.zeros_like, params), grads),
  )
  _, fresh = small_gan.make(txs=(recorder, recorder))

  @small_gan.jit
  def gradient(state, interval):
    steps, _ = small_gan.make(txs=(recorder, recorder), **{option: interval})
    after, _ = getattr(steps, name)(
      state, None, small_gan.batch(), small_gan.KEY
    )
    return after[network].opt_state

  once, thrice = (gradient(fresh(), interval) for interval in (1, 3))
  assert any(np.any(leaf) for leaf in jax.tree.leaves(once))
  chex.assert_trees_all_close(
    jax.tree.map(lambda x: 3 * x, once), thrice, rtol=1e-4, atol=1e-6
  )


def test_path_lengths_are_computed_in_float32():
  generator = small_gan.GENERATOR.clone(dtype=jnp.bfloat16)
  steps, fresh = small_gan.make(generator=generator)
  main, lengths = (
    str(jax.make_jaxpr(step)(fresh(), None, small_gan.batch(), small_gan.KEY))
    for step in (steps.generator, steps.path_length)
  )
  assert 'bf16' in main
  assert 'bf16' not in lengths
  # No product has the precision that a GPU chooses, TF32.
  products = lengths.count('dot_general[') + lengths.count('_dilated[')
  assert lengths.count('(Precision.HIGHEST, Precision.HIGHEST)') == products > 9


def test_same_key_same_bits_other_key_other_bits(built):
  steps, state = built
  first, _ = run(steps.discriminator, state, small_gan.batch())
  second, _ = run(steps.discriminator, state, small_gan.batch())
  assert changed(first, second) == set()
  other, _ = run(
    steps.discriminator, state, small_gan.batch(), jax.random.key(43)
  )
  assert changed(first, other)


def test_the_moving_average_follows(built):
  steps, state = built
  after, _ = run(steps.generator, state, small_gan.batch())
  g = after['generator']
  decay = gan_losses.ema_decay(
    small_gan.BATCH, 10.0, images_seen=small_gan.BATCH
  )
  want = jax.tree.map(
    lambda old, new: decay * old + (1 - decay) * new,
    state['generator'].ema,
    g.params,
  )
  chex.assert_trees_all_close(g.ema, want, rtol=1e-5, atol=1e-6)


def test_buffers_of_a_fresh_state_are_its_own():
  _, fresh = small_gan.make()
  leaves = jax.tree.leaves(fresh())
  pointers = {leaf.unsafe_buffer_pointer() for leaf in leaves}
  assert len(pointers) == len(leaves)


def test_three_iterations_donated_and_compiled_once(built):
  # `built` donates and refuses a second trace.
  steps, state = built
  state = jax.tree.map(jnp.copy, state)
  due = updates.schedule(steps, r1_interval=1, path_length_interval=1)
  for i in range(3):
    for step in due(i):
      given = state
      state, metrics = step(given, None, small_gan.batch(i), small_gan.KEY)
      chex.assert_tree_all_finite(metrics)
      assert given['generator'].step.is_deleted()
  assert state['discriminator'].step == state['generator'].step == 4

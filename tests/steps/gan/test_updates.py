"""GAN updates: what each changes, how often each is due, and ADA's steering."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from palmjax.engine import optim
from palmjax.losses import gan as gan_losses
from palmjax.models import discriminator as discriminator_lib
from palmjax.models import generator as generator_lib
from palmjax.steps.gan import ada, networks, updates

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


def make(augment=plain, generator=GENERATOR, txs=None, **options):
  """Steps, and a function that makes a fresh state for them."""
  txs = txs or (
    optim.lazy_adam(0.002, b1=0.0, b2=0.99, interval=4),
    optim.lazy_adam(0.002, b1=0.0, b2=0.99, interval=16),
  )
  options = {'r1_gamma': 0.1, **options}
  steps = updates.make_steps(
    generator, DISCRIMINATOR, *txs, augment=augment, **options
  )

  def fresh():
    key = jax.random.key(0)
    return networks.create_state(GENERATOR, DISCRIMINATOR, *txs, batch(), key)

  return steps, fresh


def jit(step, **options):
  # Unoptimised code compiles several times as fast.
  fast = {'xla_backend_optimization_level': 0}
  return jax.jit(step, compiler_options=fast, **options)


def batch(seed=0):
  rng = np.random.default_rng(seed)
  image = rng.integers(0, 256, (BATCH, SIZE, SIZE, 3), dtype=np.uint8)
  return {'image': jnp.asarray(image)}


def run(step, state, data, key=KEY):
  """One update of a copy of `state`, which the step may destroy."""
  return step(jax.tree.map(jnp.copy, state), None, data, key)


@pytest.fixture(scope='module')
def built():
  """Steps with the whole of ADA, and a state in the middle of a run.

  Compiled as in production: donating, and never traced a second time.
  """
  steps, fresh = make(ada.augment, ada_ramp_kimg=1.0)
  chex.clear_trace_counter()
  steps = updates.Steps(
    *(
      jit(chex.assert_max_traces(step, n=1), donate_argnums=0) for step in steps
    )
  )
  state = fresh()
  state['ada']['p'] = jnp.float32(0.5)
  state, _ = steps.discriminator(state, None, batch(), KEY)
  state, _ = steps.generator(state, None, batch(), KEY)
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
  after, metrics = run(getattr(steps, name), state, batch(1))
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
    after, _ = run(step, state, batch())
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
  _, fresh = make(txs=(recorder, recorder))

  @jit
  def gradient(state, interval):
    steps, _ = make(txs=(recorder, recorder), **{option: interval})
    after, _ = getattr(steps, name)(state, None, batch(), KEY)
    return after[network].opt_state

  once, thrice = (gradient(fresh(), interval) for interval in (1, 3))
  assert any(np.any(leaf) for leaf in jax.tree.leaves(once))
  chex.assert_trees_all_close(
    jax.tree.map(lambda x: 3 * x, once), thrice, rtol=1e-4, atol=1e-6
  )


def test_path_lengths_are_computed_in_float32():
  generator = GENERATOR.clone(dtype=jnp.bfloat16)
  steps, fresh = make(generator=generator)
  main, lengths = (
    str(jax.make_jaxpr(step)(fresh(), None, batch(), KEY))
    for step in (steps.generator, steps.path_length)
  )
  assert 'bf16' in main
  assert 'bf16' not in lengths
  # No product has the precision that a GPU chooses, TF32.
  products = lengths.count('dot_general[') + lengths.count('_dilated[')
  assert lengths.count('(Precision.HIGHEST, Precision.HIGHEST)') == products > 9


class Spy:
  """The generator and the identity as `augment`, noting all random inputs."""

  latent_size = GENERATOR.latent_size
  num_layers = GENERATOR.num_layers

  def __init__(self):
    self.latents, self.keys, self.images = [], [], []

  def clone(self, *, dtype):
    assert dtype == GENERATOR.dtype
    return self

  def apply(self, variables, x, *, method, **options):
    if method == 'mapping':
      jax.debug.callback(lambda z: self.latents.extend(np.asarray(z)), x)
    else:
      self._note(options['rngs']['noise'])
    return GENERATOR.apply(variables, x, method=method, **options)

  def augment(self, key, images, p):
    del p
    self._note(key)
    jax.debug.callback(lambda x: self.images.append(np.asarray(x)), images)
    return images

  def _note(self, key):
    data = jax.random.key_data(key)
    jax.debug.callback(lambda k: self.keys.append(np.asarray(k)), data)


@pytest.fixture(scope='module')
def spied():
  """A spy on two rounds of all updates, each update's metrics, first state.

  p moves by 1 in every update of the discriminator.
  """
  spy = Spy()
  steering = {'ada_ramp_kimg': 0.001, 'ada_interval': 1, 'ada_target': -2.0}
  steps, fresh = make(spy.augment, spy, **steering)
  steps = updates.Steps(*map(jit, steps))
  first = state = fresh()
  seen = []
  for _ in range(2):
    for step in steps:
      state, metrics = step(state, None, batch(), KEY)
      seen.append((state, metrics))
      jax.effects_barrier()
  return spy, first, seen


def test_no_random_number_is_used_twice(spied):
  spy, _, _ = spied
  # Two latents per drawn image, for mixing: 3 networks' worth of updates, the
  # path length on half a batch; noise in 3 updates, augmentation in 3.
  assert len(spy.latents) == 2 * 2 * (BATCH + BATCH + BATCH // 2)
  assert len({z.tobytes() for z in spy.latents}) == len(spy.latents)
  assert len(spy.keys) == 2 * (3 + 3)
  assert len({k.tobytes() for k in spy.keys}) == len(spy.keys)


def test_discriminator_loss_is_that_of_two_separate_batches(spied):
  spy, state, ((_, metrics), *_) = spied
  images = spy.images[0]
  assert len(images) == 2 * BATCH
  real = batch()['image'].astype(jnp.float32) / 127.5 - 1
  np.testing.assert_allclose(images[:BATCH], real, atol=1e-6)
  variables = {'params': state['discriminator'].params}
  logits = jit(DISCRIMINATOR.apply)
  want = gan_losses.discriminator_loss(
    logits(variables, real), logits(variables, images[BATCH:])
  )
  np.testing.assert_allclose(metrics['d/loss'], want, rtol=1e-5)


def test_same_key_same_bits_other_key_other_bits(built):
  steps, state = built
  first, _ = run(steps.discriminator, state, batch())
  second, _ = run(steps.discriminator, state, batch())
  assert changed(first, second) == set()
  other, _ = run(steps.discriminator, state, batch(), jax.random.key(43))
  assert changed(first, other)


def test_the_moving_average_follows(built):
  steps, state = built
  after, _ = run(steps.generator, state, batch())
  g = after['generator']
  decay = gan_losses.ema_decay(BATCH, 10.0, images_seen=BATCH)
  want = jax.tree.map(
    lambda old, new: decay * old + (1 - decay) * new,
    state['generator'].ema,
    g.params,
  )
  chex.assert_trees_all_close(g.ema, want, rtol=1e-5, atol=1e-6)


def test_buffers_of_a_fresh_state_are_its_own():
  _, fresh = make()
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
      state, metrics = step(given, None, batch(i), KEY)
      chex.assert_tree_all_finite(metrics)
      assert given['generator'].step.is_deleted()
  assert state['discriminator'].step == state['generator'].step == 4


def test_p_is_steered_in_the_discriminator_step(spied):
  _, first, ((state, metrics), *_) = spied
  assert first['ada']['p'] == 0.0
  assert state['ada']['p'] == metrics['ada/p'] == 1.0

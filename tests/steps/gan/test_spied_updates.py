"""What the updates draw at random, and what the discriminator sees."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from palmjax.losses import gan as gan_losses
from palmjax.steps.gan import updates
from tests.steps.gan import small_gan


class Spy:
  """The generator and the identity as `augment`, noting all random inputs."""

  latent_size = small_gan.GENERATOR.latent_size
  num_layers = small_gan.GENERATOR.num_layers

  def __init__(self):
    self.latents, self.keys, self.images = [], [], []

  def clone(self, *, dtype):
    assert dtype == small_gan.GENERATOR.dtype
    return self

  def apply(self, variables, x, *, method, **options):
    if method == 'mapping':
      jax.debug.callback(lambda z: self.latents.extend(np.asarray(z)), x)
    else:
      self._note(options['rngs']['noise'])
    return small_gan.GENERATOR.apply(variables, x, method=method, **options)

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
  steps, fresh = small_gan.make(spy.augment, spy, **steering)
  steps = updates.Steps(*map(small_gan.jit, steps))
  first = state = fresh()
  seen = []
  for _ in range(2):
    for step in steps:
      state, metrics = step(state, None, small_gan.batch(), small_gan.KEY)
      seen.append((state, metrics))
      jax.effects_barrier()
  return spy, first, seen


def test_no_random_number_is_used_twice(spied):
  spy, _, _ = spied
  # Two latents per drawn image, for mixing: 3 networks' worth of updates, the
  # path length on half a batch; noise in 3 updates, augmentation in 3.
  assert len(spy.latents) == 2 * 2 * (
    small_gan.BATCH + small_gan.BATCH + small_gan.BATCH // 2
  )
  assert len({z.tobytes() for z in spy.latents}) == len(spy.latents)
  assert len(spy.keys) == 2 * (3 + 3)
  assert len({k.tobytes() for k in spy.keys}) == len(spy.keys)


def test_discriminator_loss_is_that_of_two_separate_batches(spied):
  spy, state, ((_, metrics), *_) = spied
  images = spy.images[0]
  assert len(images) == 2 * small_gan.BATCH
  real = small_gan.batch()['image'].astype(jnp.float32) / 127.5 - 1
  np.testing.assert_allclose(images[: small_gan.BATCH], real, atol=1e-6)
  variables = {'params': state['discriminator'].params}
  logits = small_gan.jit(small_gan.DISCRIMINATOR.apply)
  want = gan_losses.discriminator_loss(
    logits(variables, real), logits(variables, images[small_gan.BATCH :])
  )
  np.testing.assert_allclose(metrics['d/loss'], want, rtol=1e-5)


def test_p_is_steered_in_the_discriminator_step(spied):
  _, first, ((state, metrics), *_) = spied
  assert first['ada']['p'] == 0.0
  assert state['ada']['p'] == metrics['ada/p'] == 1.0

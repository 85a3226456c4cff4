"""Discriminator: the minibatch deviation, and what logits depend on."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from palmjax.models import discriminator as discriminator_lib

minibatch_deviation = jax.jit(
  discriminator_lib.minibatch_deviation, static_argnums=1
)


@pytest.mark.parametrize(
  'batch, group', [(8, 4), (6, 3), (4, 4), (2, 2), (5, 1)]
)
def test_minibatch_deviation_equals_the_loop(batch, group):
  x = np.random.default_rng(0).normal(size=(batch, 2, 3, 4)).astype(np.float32)
  got = minibatch_deviation(x, 4)
  groups = batch // group
  for n in range(batch):
    members = x[n % groups :: groups].astype(np.float64)
    assert len(members) == group
    mean = sum(members) / group
    variance = sum((m - mean) ** 2 for m in members) / group
    want = np.sqrt(variance + 1e-8).mean()
    np.testing.assert_allclose(got[n], np.full((2, 3, 1), want), rtol=1e-4)


def numbers(seed, size):
  rng = np.random.default_rng(seed)
  return rng.normal(size=(size, 8, 8, 3)).astype(np.float32)


@pytest.fixture(scope='module')
def network():
  module = discriminator_lib.Discriminator(8, fmap_base=16, fmap_max=8)
  variables = jax.jit(module.init)(jax.random.key(0), np.zeros((1, 8, 8, 3)))
  return module, variables


@pytest.fixture(scope='module')
def apply(network):
  """(images, batches=1) → logits in NumPy."""
  module, variables = network
  compiled = jax.jit(module.apply, static_argnames='batches')
  return lambda *args, **kw: np.asarray(compiled(variables, *args, **kw))


def test_logits(apply):
  logits = apply(numbers(1, 4))
  assert logits.shape == (4,)
  assert logits.std() > 1e-3


def test_a_group_shares_its_deviation(apply):
  # Image 0 of 8 is judged beside 2, 4, 6 and not beside 1, 3, 5, 7.
  images = numbers(2, 8)
  want = apply(images)[0]
  black = images.copy()
  black[1::2] = 0.0
  other_group = apply(black)[0]
  black = images.copy()
  black[2] = 0.0
  same_group = apply(black)[0]
  np.testing.assert_allclose(other_group, want, rtol=1e-5)
  assert abs(same_group - want) > 1e-4


def test_batches_after_each_other_are_judged_apart(apply):
  images = numbers(3, 8)
  images[4:] *= 0.1  # Two batches that deviate unlike.
  together = apply(images, batches=2)
  apart = [apply(half) for half in np.split(images, 2)]
  np.testing.assert_allclose(together, np.concatenate(apart), atol=1e-5)
  # As one batch the groups are others.
  assert abs(apply(images) - together).max() > 1e-3


def test_bfloat16_returns_float32_near_float32(network, apply):
  module, variables = network
  images = numbers(3, 4)
  got = jax.jit(module.clone(dtype=jnp.bfloat16).apply)(variables, images)
  want = apply(images)
  assert got.dtype == jnp.float32
  error = np.abs(got - want).max()
  assert 0 < error < 0.05


def test_wrong_size_is_refused(network):
  module, variables = network
  with pytest.raises(AssertionError):
    module.apply(variables, np.zeros((2, 16, 16, 3)))

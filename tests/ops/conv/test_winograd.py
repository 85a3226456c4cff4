"""Winograd's transforms from first principles, and the convolution by them."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from palmjax.ops.conv import dispatch as conv
from palmjax.ops.conv import winograd

_ONE = ((1, 1), (1, 1))


def random(*shape, seed=0):
  rng = np.random.default_rng(seed)
  return rng.normal(size=shape).astype(np.float32)


def test_the_transforms_filter_a_signal():
  """One tile of whole numbers, exactly."""
  rng = np.random.default_rng(0)
  for _ in range(5):
    signal, taps = rng.integers(-9, 10, 6), 24.0 * rng.integers(-9, 10, 3)
    product = (winograd.KERNEL.astype(float) @ taps) * (winograd.INPUT @ signal)
    np.testing.assert_allclose(
      winograd.OUTPUT @ product,
      np.correlate(signal, taps, 'valid'),
      atol=1e-2,
    )


def test_tiles_overlap_by_two_and_see_zeros_beyond_the_border():
  rows = winograd.all_tiles(7, 2, 1)
  assert rows.shape == (12, 7)
  signal = np.arange(1.0, 8.0)
  padded = np.concatenate([[0.0], signal, np.zeros(9)])
  for k in range(2):
    np.testing.assert_allclose(
      rows.reshape(6, 2, 7)[:, k] @ signal,
      winograd.INPUT @ padded[4 * k : 4 * k + 6],
    )


@pytest.mark.parametrize(
  'batch, size, padding',
  [
    (2, (4, 4), _ONE),
    (1, (6, 9), _ONE),
    (2, (7, 5), ((0, 0), (0, 0))),
    (1, (5, 8), ((0, 2), (2, 1))),
    (1, (1, 2), _ONE),
  ],
)
def test_equals_lax_up_to_second_derivatives(batch, size, padding):
  # Small numbers: sines of large ones would magnify the last digits. Second
  # derivatives reach 40 all the same: relative to that, 1e-5.
  x = random(batch, *size, 3)
  kernel = np.float32(0.2) * random(3, 3, 3, 2, seed=1)

  def everything(lowering):
    def scalar(x, kernel):
      y = conv.dense(x, kernel, padding=padding, lowering=lowering)
      return jnp.sum(jnp.sin(y)), y

    gradient = jax.grad(scalar, argnums=(0, 1), has_aux=True)

    def squared_length(x, kernel):
      (to_x, to_kernel), y = gradient(x, kernel)
      total = jnp.sum(jnp.sin(to_x)) + jnp.sum(jnp.sin(to_kernel))
      return total, (y, to_x, to_kernel)

    return jax.jit(jax.grad(squared_length, argnums=(0, 1), has_aux=True))(
      x, kernel
    )

  chex.assert_trees_all_close(
    everything('winograd'), everything('lax'), rtol=2e-4, atol=4e-4
  )


def test_the_error_is_of_the_size_that_is_told():
  x, kernel = random(2, 16, 16, 64), random(3, 3, 64, 64, seed=1)
  got, want = (
    np.asarray(
      jax.jit(functools.partial(conv.dense, padding=_ONE, lowering=lowering))(
        x, kernel
      )
    )
    for lowering in ('winograd', 'lax')
  )
  assert np.abs(got - want).max() < 3e-5 * np.abs(want).max()


def test_many_maps_at_once():
  x, kernel = random(3, 2, 5, 5, 2), random(3, 3, 2, 4, seed=1)

  def convolve(x):
    return winograd.convolve(x, kernel, _ONE)

  got = np.asarray(jax.jit(jax.vmap(convolve))(x))
  want = jax.jit(convolve)(x.reshape(6, 5, 5, 2))
  np.testing.assert_allclose(got.reshape(want.shape), want, atol=1e-5)


def lowering_of(x, kernel, **options):
  """What `conv.dense` takes, from its program."""
  text = str(
    jax.make_jaxpr(lambda x, k: conv.dense(x, k, **options))(x, kernel)
  )
  if 'conv_general_dilated' in text:
    return 'lax'
  return 'blocked' if 'custom_vjp_call' in text else 'winograd'


@pytest.mark.skipif(
  jax.default_backend() != 'cpu', reason='rules of a CPU are tested'
)
def test_it_is_taken_where_it_pays():
  def shapes(batch, side, channels, features=None, dtype=jnp.float32, window=3):
    return (
      np.zeros((batch, side, side, channels), dtype),
      np.zeros((window, window, channels, features or channels), dtype),
    )

  assert lowering_of(*shapes(8, 16, 64)) == 'winograd'
  assert lowering_of(*shapes(8, 16, 64), padding='VALID') == 'winograd'
  # Few channels of either kind, few pixels, few digits, another window.
  assert lowering_of(*shapes(8, 16, 32, 64)) == 'lax'
  assert lowering_of(*shapes(8, 16, 64, 32)) == 'lax'
  assert lowering_of(*shapes(1, 8, 128)) == 'lax'
  assert lowering_of(*shapes(8, 16, 64, dtype=jnp.bfloat16)) == 'lax'
  assert lowering_of(*shapes(8, 16, 64, window=5)) == 'lax'
  assert lowering_of(*shapes(8, 16, 64), stride=2) == 'blocked'
  assert lowering_of(*shapes(8, 16, 1)) == 'blocked'


def test_bad_arguments():
  x = random(1, 6, 6, 2)
  for kernel, options in (
    (random(5, 5, 2, 2), {}),
    (random(3, 3, 2, 2), {'stride': 2}),
    (random(3, 3, 2, 2), {'padding': ((-1, 1), (1, 1))}),
  ):
    with pytest.raises(ValueError, match="use 'blocked' or 'lax'"):
      conv.dense(x, kernel, lowering='winograd', **options)

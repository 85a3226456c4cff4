"""Winograd's transforms from first principles, and the convolution by them."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from palmjax.ops.conv import blocked, tiles, winograd
from palmjax.ops.conv import dispatch as conv

_ONE = ((1, 1), (1, 1))


def random(*shape, seed=0):
  rng = np.random.default_rng(seed)
  return rng.normal(size=shape).astype(np.float32)


def test_the_transforms_filter_a_signal():
  """One tile of whole numbers, exactly."""
  rng = np.random.default_rng(0)
  for _ in range(5):
    signal, taps = rng.integers(-9, 10, 6), 24.0 * rng.integers(-9, 10, 3)
    product = (tiles.KERNEL.astype(float) @ taps) * (tiles.INPUT @ signal)
    np.testing.assert_allclose(
      tiles.OUTPUT @ product,
      np.correlate(signal, taps, 'valid'),
      atol=1e-2,
    )


def test_tiles_overlap_by_two_and_see_zeros_beyond_the_border():
  x = random(2, 5, 7, 3)
  v = np.concatenate(tiles.transform(x, ((1, 1), (2, 0))))
  v = v.reshape(6, 6, 2, 2, 2, 3)
  padded = np.pad(x, ((0, 0), (1, 9), (2, 9), (0, 0)))
  for k in range(2):
    for j in range(2):
      tile = padded[:, 4 * k : 4 * k + 6, 4 * j : 4 * j + 6]
      np.testing.assert_allclose(
        v[:, :, :, k, j],
        np.einsum('ip,jq,bpqc->ijbc', tiles.INPUT, tiles.INPUT, tile),
        atol=1e-4,
      )


def assert_transposes(function, transpose, x):
  """⟨f(x), v⟩ = ⟨x, fᵀ(v)⟩."""
  groups = function(x)
  v = [random(*group.shape, seed=i) for i, group in enumerate(groups)]
  np.testing.assert_allclose(
    sum(map(np.vdot, groups, v)), np.vdot(x, transpose(v)), rtol=1e-4
  )


@pytest.mark.parametrize('height, width', [(5, 7), (4, 8), (1, 2)])
def test_transposes(height, width):
  x, padding = random(2, height, width, 3), ((1, 1), (2, 0))
  assert_transposes(
    lambda x: tiles.transform(x, padding),
    lambda v: tiles.add_up(v, x.shape, padding),
    x,
  )
  assert_transposes(
    tiles.take_apart, lambda m: tiles.assemble(m, 2, height, width), x
  )
  kernel = random(3, 3, height, width, seed=1)
  assert_transposes(tiles.transform_kernel, tiles.add_up_kernel, kernel)


def test_the_transformed_kernel():
  kernel = random(3, 3, 2, 5)
  np.testing.assert_allclose(
    np.concatenate(tiles.transform_kernel(kernel)).reshape(6, 6, 2, 5),
    np.einsum('ip,jq,pqck->ijck', tiles.KERNEL, tiles.KERNEL, kernel),
    atol=1e-6,
  )


def test_blocks_are_as_large_as_fit_and_divide_the_batch():
  def images(batch, side, channels, features):
    x = np.zeros((batch, side, side, channels), np.float32)
    return winograd.images_per_block(x, features, _ONE)

  # Tiles of an image: 36 numbers for each of 16², 4 bytes, by channels.
  assert images(32, 64, 64, 64) == 2
  assert images(32, 128, 64, 64) == 1
  assert images(64, 16, 64, 64) == 32
  assert images(48, 16, 64, 64) == 24
  assert images(64, 16, 64, 32) == images(64, 16, 32, 64) == 32
  # Tiles of a block are as large as a large kernel.
  assert images(256, 8, 512, 512) == 128


@pytest.mark.parametrize(
  'batch, size, padding',
  [
    (4, (4, 4), _ONE),
    (1, (6, 9), _ONE),
    (4, (7, 5), ((0, 0), (0, 0))),
    (4, (5, 8), ((0, 2), (2, 1))),
    (1, (1, 2), _ONE),
  ],
)
@pytest.mark.parametrize('block', [1, 2])
def test_equals_lax_up_to_second_derivatives(
  batch, size, padding, block, monkeypatch
):
  monkeypatch.setattr(
    winograd, 'images_per_block', lambda x, *_: min(block, len(x))
  )
  # Small numbers: sines of large ones would magnify the last digits.
  x = random(batch, *size, 3)
  kernel = 0.2 * random(3, 3, 3, 2, seed=1)

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

  pairs = zip(
    jax.tree.leaves(everything('winograd')),
    jax.tree.leaves(everything('lax')),
    strict=True,
  )
  for got, want in pairs:
    np.testing.assert_allclose(
      got, want, rtol=2e-4, atol=1e-5 * np.abs(want).max()
    )


@pytest.mark.parametrize('side, size', [(16, 24), (16, 64), (8, 512)])
def test_the_error_is_of_the_size_that_is_told(side, size):
  x, kernel = random(2, side, side, size), random(3, 3, size, size, seed=1)
  got, want = (
    np.asarray(
      jax.jit(functools.partial(conv.dense, padding=_ONE, lowering=lowering))(
        x, kernel
      )
    )
    for lowering in ('winograd', 'lax')
  )
  assert np.abs(got - want).max() < 1.5e-5 * np.abs(want).max()


@pytest.mark.parametrize(
  'lowering, stride', [('winograd', 1), ('blocked', 1), ('blocked', 2)]
)
def test_bfloat16_adds_up_in_float32(lowering, stride, monkeypatch):
  for module in (winograd, blocked):
    monkeypatch.setattr(module, 'images_per_block', lambda x, *_: 1)
  x, g = random(64, 8, 8, 8), random(64, 8 // stride, 8 // stride, 8, seed=1)
  kernel = random(3, 3, 8, 8, seed=2)

  def gradients(dtype, lowering):
    y, pull = jax.vjp(
      functools.partial(
        conv.dense, stride=stride, padding=_ONE, lowering=lowering
      ),
      *(array.astype(dtype) for array in (x, kernel)),
    )
    return jax.tree.map(np.float32, (y, *pull(jnp.asarray(g, y.dtype))))

  pairs = zip(
    gradients(jnp.bfloat16, lowering),
    gradients(jnp.float32, 'lax'),
    strict=True,
  )
  for got, want in pairs:
    assert np.abs(got - want).max() < 0.01 * np.abs(want).max()


def test_many_maps_at_once():
  x, kernel = random(3, 2, 5, 5, 2), random(3, 3, 2, 4, seed=1)

  def convolve(x):
    return winograd.convolve(x, kernel, _ONE)

  got = np.asarray(jax.jit(jax.vmap(convolve))(x))
  want = jax.jit(convolve)(x.reshape(6, 5, 5, 2))
  np.testing.assert_allclose(got.reshape(want.shape), want, atol=1e-5)


def test_gradients_of_many_maps_at_once(monkeypatch):
  monkeypatch.setattr(winograd, 'images_per_block', lambda x, *_: 1)
  x, kernel = random(3, 2, 5, 5, 2), random(3, 3, 2, 4, seed=1)

  def gradients(x, lowering):
    def energy(x, kernel):
      y = conv.dense(x, kernel, padding=_ONE, lowering=lowering)
      return jnp.sum(jnp.sin(y))

    return jax.value_and_grad(energy, argnums=(0, 1))(x, kernel)

  got, want = (
    jax.jit(jax.vmap(functools.partial(gradients, lowering=lowering)))(x)
    for lowering in ('winograd', 'lax')
  )
  chex.assert_trees_all_close(got, want, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('bad', [np.nan, -np.inf])
def test_a_bad_image_leaves_the_others_alone(bad, monkeypatch):
  """The first value of a block is one that `keep_until_here` reads."""
  monkeypatch.setattr(winograd, 'images_per_block', lambda x, *_: 1)
  x, kernel = random(3, 6, 6, 2), random(3, 3, 2, 4, seed=1)
  x[0, 0, 0, 0] = bad

  def energies(x, lowering):
    y = conv.dense(x, kernel, padding=_ONE, lowering=lowering)
    return jnp.sum(y**2, (1, 2, 3))

  got, want = (
    jax.vjp(functools.partial(energies, lowering=lowering), x)
    for lowering in ('winograd', 'lax')
  )
  for values in (
    (got[0], want[0]),
    (got[1](np.ones(3, np.float32))[0], want[1](np.ones(3, np.float32))[0]),
  ):
    assert not np.isfinite(values[0][0]).all()
    np.testing.assert_allclose(
      values[0][1:], values[1][1:], rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize('lowering', ['winograd', 'blocked', 'lax'])
def test_no_image(lowering):
  y, pull = jax.vjp(
    functools.partial(conv.dense, lowering=lowering),
    random(0, 6, 6, 2),
    random(3, 3, 2, 4),
  )
  assert y.shape == (0, 6, 6, 4)
  of_x, of_kernel = pull(y)
  assert of_x.shape == (0, 6, 6, 2)
  np.testing.assert_array_equal(of_kernel, np.zeros((3, 3, 2, 4)))


def test_bad_arguments():
  x = random(1, 6, 6, 2)
  for kernel, options in (
    (random(5, 5, 2, 2), {}),
    (random(3, 3, 2, 2), {'stride': 2}),
    (random(3, 3, 2, 2), {'padding': ((-1, 1), (1, 1))}),
  ):
    with pytest.raises(ValueError, match="use 'blocked' or 'lax'"):
      conv.dense(x, kernel, lowering='winograd', **options)

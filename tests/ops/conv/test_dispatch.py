"""Lowerings against jax.lax and NumPy loops, in value and derivatives."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from palmjax.ops.conv import blocked
from palmjax.ops.conv import dispatch as conv

_ONE = ((1, 1), (1, 1))

# (height, width), window, stride, padding
_CASES = [
  ((6, 5), (3, 3), 1, _ONE),
  ((6, 7), (2, 3), 1, ((0, 1), (2, 0))),
  ((6, 7), (3, 2), 1, 'VALID'),
  ((6, 7), (3, 3), 1, ((3, 0), (0, 3))),
  ((6, 7), (3, 3), 2, _ONE),
  ((6, 7), (3, 3), 2, 'SAME'),
  ((7, 6), (3, 2), 3, 'VALID'),
  ((5, 8), (2, 3), 2, ((0, 2), (2, 1))),
  ((5, 6), (1, 1), 2, 'VALID'),
  ((4, 5), (4, 5), 1, 'VALID'),
]


def random(*shape, seed=0):
  rng = np.random.default_rng(seed)
  return rng.normal(size=shape).astype(np.float32)


def derivatives(function, x, kernel):
  """Value, gradients, and gradients of the gradients' squared lengths."""

  def scalar(x, kernel):
    return jnp.sum(jnp.sin(function(x, kernel)))

  gradient = jax.grad(scalar, argnums=(0, 1))

  def squared_length(which):
    return lambda x, kernel: jnp.sum(gradient(x, kernel)[which] ** 2)

  @jax.jit
  def everything(x, kernel):
    return (
      function(x, kernel),
      gradient(x, kernel),
      jax.grad(squared_length(0), argnums=(0, 1))(x, kernel),
      jax.grad(squared_length(1), argnums=(0, 1))(x, kernel),
    )

  return everything(x, kernel)


@pytest.mark.parametrize('size, window, stride, padding', _CASES)
def test_depthwise_equals_lax_up_to_second_derivatives(
  size, window, stride, padding
):
  x, kernel = random(2, *size, 3), random(*window, 1, 3, seed=1)
  got, want = (
    derivatives(
      lambda x, kernel, lowering=lowering: conv.depthwise(
        x, kernel, stride=stride, padding=padding, lowering=lowering
      ),
      x,
      kernel,
    )
    for lowering in ('shift', 'lax')
  )
  chex.assert_trees_all_close(got, want, rtol=1e-4, atol=1e-4)


def test_depthwise_equals_the_loop():
  x, kernel = random(2, 5, 6, 3), random(3, 3, 1, 3, seed=1)
  padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
  want = np.zeros((2, 3, 3, 3))
  for i in range(3):
    for j in range(3):
      patch = padded[:, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3]
      want[:, i, j] = np.sum(patch * np.asarray(kernel)[:, :, 0], axis=(1, 2))
  depthwise = functools.partial(conv.depthwise, stride=2, padding=_ONE)
  got = jax.jit(depthwise)(x, kernel)
  np.testing.assert_allclose(got, want, atol=1e-5)


@pytest.mark.parametrize('channels, features', [(3, 2), (1, 8)])
@pytest.mark.parametrize(
  'size, window, stride, padding',
  [*_CASES, ((7, 8), (3, 3), 2, ((-1, 1), (1, -2)))],
)
def test_dense_equals_lax_up_to_second_derivatives(
  size, window, stride, padding, channels, features, monkeypatch
):
  # Two images a block, of four.
  monkeypatch.setattr(blocked, 'images_per_block', lambda x, values: 2)
  x = random(4, *size, channels)
  kernel = random(*window, channels, features, seed=1)
  got, want = (
    derivatives(
      lambda x, kernel, lowering=lowering: conv.dense(
        x, kernel, stride=stride, padding=padding, lowering=lowering
      ),
      x,
      kernel,
    )
    for lowering in ('blocked', 'lax')
  )
  # Second derivatives reach 10³ here: relative to that, float32.
  chex.assert_trees_all_close(got, want, rtol=1e-4, atol=2e-3)


def test_blocks_are_as_large_as_fit_and_divide_the_batch():
  x = random(12, 2, 2, 1)
  million = 1_000_000
  for values, images in ((1, 12), (million // 2, 4), (million, 2), (5e6, 1)):
    assert blocked.images_per_block(x, values) == images


@pytest.mark.parametrize('groups, stride', [(1, 1), (2, 1), (4, 2)])
def test_grouped_equals_lax_up_to_second_derivatives(groups, stride):
  x = random(2, 5, 6, 4)
  kernel = random(3, 3, 4 // groups, 8, seed=1)
  got, want = (
    derivatives(
      lambda x, kernel, lowering=lowering: conv.grouped(
        x,
        kernel,
        groups=groups,
        stride=stride,
        padding=_ONE,
        lowering=lowering,
      ),
      x,
      kernel,
    )
    for lowering in ('block_diagonal', 'lax')
  )
  # Second derivatives reach 10³ here: relative to that, float32.
  chex.assert_trees_all_close(got, want, rtol=1e-4, atol=2e-3)


def test_grouped_of_one_channel_each_is_depthwise():
  x, kernel = random(2, 5, 5, 4), random(3, 3, 1, 4, seed=1)
  np.testing.assert_allclose(
    jax.jit(functools.partial(conv.grouped, groups=4))(x, kernel),
    jax.jit(conv.depthwise)(x, kernel),
    atol=1e-5,
  )


# The gradient in the kernel has the shorter side first.
@pytest.mark.parametrize('channels, features', [(5, 6), (6, 5)])
def test_pointwise_equals_lax_up_to_second_derivatives(channels, features):
  x = random(2, 3, 4, channels)
  kernel = random(1, 1, channels, features, seed=1)
  got, want = (
    derivatives(
      lambda x, kernel, lowering=lowering: conv.pointwise(
        x, kernel, lowering=lowering
      ),
      x,
      kernel,
    )
    for lowering in ('matmul', 'lax')
  )
  chex.assert_trees_all_close(got, want, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize('channels, features', [(5, 6), (6, 5)])
def test_gradients_of_pointwise_have_the_types_of_its_arguments(
  channels, features
):
  x = random(2, 3, 4, channels).astype(jnp.bfloat16)
  kernel = random(1, 1, channels, features, seed=1)

  def loss(x, kernel):
    return jnp.sum(conv.pointwise(x, kernel, lowering='matmul')) + jnp.sum(x)

  of_x, of_kernel = jax.jit(jax.grad(loss, (0, 1)))(x, kernel)
  assert (of_x.dtype, of_kernel.dtype) == (jnp.bfloat16, jnp.float32)


@pytest.mark.parametrize('stride', [1, 2])
def test_depthwise_under_vmap(stride):
  x, kernel = random(3, 2, 5, 5, 4), random(3, 3, 3, 1, 4, seed=1)

  def gradients(x, kernel):
    return jax.grad(
      lambda x, kernel: jnp.sum(conv.depthwise(x, kernel, stride=stride) ** 2),
      argnums=(0, 1),
    )(x, kernel)

  got = jax.jit(jax.vmap(gradients))(x, kernel)
  gradients = jax.jit(gradients)
  want = jax.tree.map(
    lambda *leaves: np.stack(leaves),
    *[gradients(x[i], kernel[i]) for i in range(3)],
  )
  chex.assert_trees_all_close(got, want, rtol=1e-5, atol=1e-5)


def test_bad_arguments():
  x = random(1, 4, 4, 6)
  with pytest.raises(ValueError, match="use 'shift' or 'lax'"):
    conv.depthwise(x, random(3, 3, 1, 6), lowering='fast')
  with pytest.raises(ValueError, match="use 'winograd', 'blocked' or 'lax'"):
    conv.dense(x, random(3, 3, 6, 6), lowering='fast')
  with pytest.raises(ValueError, match="use 'block_diagonal' or 'lax'"):
    conv.grouped(x, random(3, 3, 3, 6), groups=2, lowering='fast')
  with pytest.raises(ValueError, match="use 'matmul' or 'lax'"):
    conv.pointwise(x, random(1, 1, 6, 2), lowering='fast')
  with pytest.raises(ValueError, match='4 groups do not divide 6 input'):
    conv.grouped(x, random(3, 3, 1, 8), groups=4)
  with pytest.raises(AssertionError):
    conv.depthwise(x, random(3, 3, 6, 6))


def test_depthwise_in_bfloat16_is_added_up_in_float32():
  x, kernel = (
    jnp.asarray(abs(random(*s))) for s in [(4, 40, 40, 3), (3, 3, 1, 3)]
  )

  @functools.partial(jax.jit, static_argnums=0)
  def results(dtype):
    function = functools.partial(conv.depthwise, lowering='shift')
    y, transpose = jax.vjp(function, x.astype(dtype), kernel.astype(dtype))
    values = y, *transpose(jnp.ones_like(y))
    assert {value.dtype for value in values} == {jnp.dtype(dtype)}
    return [value.astype(jnp.float32) for value in values]

  # Both factors of a product are rounded, and the sum.
  for half, whole in zip(
    results(jnp.bfloat16), results(jnp.float32), strict=True
  ):
    np.testing.assert_allclose(half, whole, rtol=3 * 2**-8)


@pytest.mark.parametrize('side, stride', [(2, 1), (1, 1), (2, 2)])
def test_dense_on_a_map_smaller_than_the_window(side, stride):
  """Blocks are taken, and equal XLA's convolution."""
  x, kernel = random(4, side, side, 5), random(3, 3, 5, 2, seed=1)
  options = {'stride': stride, 'padding': _ONE}
  got, want = (
    derivatives(
      lambda x, kernel, lowering=lowering: conv.dense(
        x, kernel, lowering=lowering, **options
      ),
      x,
      kernel,
    )
    for lowering in (None, 'lax')
  )
  chex.assert_trees_all_close(got, want, rtol=1e-4, atol=2e-3)

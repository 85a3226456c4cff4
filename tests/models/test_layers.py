"""Shared layers against plain formulas."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from palmjax.models import layers


def numbers(*shape, seed=0):
  rng = np.random.default_rng(seed)
  return rng.normal(size=shape).astype(np.float32)


def convolved(x, kernel):
  """Correlation of [H, W, I] with [3, 3, I, O], zero border, in NumPy."""
  padded = np.pad(x, [(1, 1), (1, 1), (0, 0)])
  out = np.zeros((*x.shape[:2], kernel.shape[-1]))
  for i in range(x.shape[0]):
    for j in range(x.shape[1]):
      out[i, j] = np.einsum('hwi,hwio->o', padded[i : i + 3, j : j + 3], kernel)
  return out


@pytest.mark.parametrize('demodulate', [True, False])
def test_modulated_conv_equals_the_kernel_of_each_sample(demodulate):
  rng = np.random.default_rng(0)
  x = rng.normal(size=(2, 5, 4, 3)).astype(np.float32)
  w = rng.normal(size=(2, 6)).astype(np.float32)
  module = layers.ModulatedConv(7, 3, demodulate=demodulate)
  got, variables = jax.jit(module.init_with_output)(jax.random.key(0), x, w)
  got = np.asarray(got)
  params = jax.tree.map(np.asarray, variables['params'])
  style = w @ params['style']['kernel'] / np.sqrt(6) + params['style']['bias']
  for b in range(2):
    kernel = params['kernel'] / np.sqrt(27) * style[b][:, None]
    if demodulate:
      kernel = kernel / np.sqrt(np.sum(kernel**2, axis=(0, 1, 2)) + 1e-8)
    np.testing.assert_allclose(got[b], convolved(x[b], kernel), atol=1e-4)


def test_demodulated_output_has_unit_variance_whatever_the_style():
  x, w = numbers(4, 32, 32, 16), 5 * numbers(4, 8, seed=1)
  module = layers.ModulatedConv(64, 3)
  out, _ = jax.jit(module.init_with_output)(jax.random.key(2), x, w)
  out = np.asarray(out)[:, 1:-1, 1:-1]
  np.testing.assert_allclose(out.var(axis=(1, 2, 3)), np.ones(4), rtol=0.04)


def test_style_starts_at_one():
  variables = jax.jit(layers.ModulatedConv(4, 3).init)(
    jax.random.key(0), np.ones((1, 4, 4, 3)), np.ones((1, 5))
  )
  np.testing.assert_array_equal(
    variables['params']['style']['bias'], np.ones(3)
  )


def test_lr_multiplier_changes_the_speed_not_the_function():
  x = numbers(2048, 256)
  slow = layers.Dense(64, lr_multiplier=0.01, bias=0.3)
  variables = jax.device_get(jax.jit(slow.init)(jax.random.key(1), x))
  np.testing.assert_allclose(
    variables['params']['kernel'].std(), 100, rtol=0.02
  )
  apply = jax.jit(slow.apply)
  out = np.asarray(apply(variables, x))
  np.testing.assert_allclose(out.std(), 1.0, rtol=0.02)
  np.testing.assert_allclose(out.mean(), 0.3, atol=0.02)
  # A parameter that moves by 1 moves the output as 0.01 / √256 would.
  moved = jax.tree.map(np.array, variables)
  moved['params']['kernel'][0, 0] += 1.0
  change = apply(moved, x) - out
  np.testing.assert_allclose(change[:, 0], x[:, 0] * 0.01 / 16, atol=2e-6)


def test_equalised_conv_keeps_the_variance():
  x, module = numbers(4, 24, 24, 16), layers.Conv(64, 3)
  out, _ = jax.jit(module.init_with_output)(jax.random.key(1), x)
  out = np.asarray(out)[:, 1:-1, 1:-1]
  np.testing.assert_allclose(out.var(), 1.0, rtol=0.05)


def test_leaky_relu_golden():
  np.testing.assert_allclose(
    jax.jit(layers.leaky_relu)(np.float32([-1.0, 2.0])),
    [-0.2 * np.sqrt(2), 2 * np.sqrt(2)],
    rtol=1e-6,
  )


def test_channels_golden():
  full = [
    layers.channels(s, fmap_base=16384, fmap_max=512) for s in range(1, 9)
  ]
  # 4, 8, …, 512 px: config-f of StyleGAN2.
  assert full == [512, 512, 512, 512, 512, 256, 128, 64]


@pytest.mark.parametrize(
  'size, want',
  [
    (4, (4,)),
    (32, (4, 8, 16, 32)),
    (48, (6, 12, 24, 48)),
    (96, (6, 12, 24, 48, 96)),
    (112, (7, 14, 28, 56, 112)),
  ],
)
def test_resolutions(size, want):
  assert layers.resolutions(size) == want


@pytest.mark.parametrize('size', [3, 9, 50, 100])
def test_size_that_does_not_halve_is_refused(size):
  with pytest.raises(ValueError, match=f'image size {size} does not halve'):
    layers.resolutions(size)


@pytest.mark.parametrize(
  'size, window, border, want',
  [((6, 4), 2, 0, (3, 2)), ((7, 5), 2, 0, (3, 2)), ((7, 6), 3, 1, (4, 3))],
)
def test_max_pool(size, window, border, want):
  x = np.random.default_rng(0).normal(size=(2, *size, 3)).astype(np.float32)
  sides = (border, border)
  padded = np.pad(x, [(0, 0), sides, sides, (0, 0)], constant_values=-np.inf)
  pooled = np.stack(
    [
      padded[:, i : i + window, j : j + window].max((1, 2))
      for i in range(0, 2 * want[0], 2)
      for j in range(0, 2 * want[1], 2)
    ],
    axis=1,
  ).reshape(2, *want, 3)

  def gradient(pool):
    def loss(x):
      y = pool(x)
      return jnp.sum(jnp.sin(y)), y

    return jax.jit(jax.grad(loss, has_aux=True))(x)

  def ours(x):
    return layers.max_pool(x, window=window, border=border)

  def flax(x):
    return nn.max_pool(x, (window, window), (2, 2), (sides, sides))

  got, y = gradient(ours)
  np.testing.assert_array_equal(y, pooled)
  np.testing.assert_allclose(got, gradient(flax)[0])


def test_tail_kinds():
  x = np.random.default_rng(0).normal(size=(2, 3, 2, 4)).astype(np.float32)

  def apply(kind):
    tail = layers.Tail(kind, train=False)
    return jax.jit(tail.init_with_output)(jax.random.key(0), x)

  y, variables = apply('pool')
  np.testing.assert_allclose(y, x.mean((1, 2)), atol=1e-6)
  assert not variables
  y, variables = apply('fc')
  np.testing.assert_array_equal(y, x.reshape(2, 24))
  assert not variables
  y, variables = apply('gdconv')
  kernel = np.asarray(variables['params']['kernel'])
  assert kernel.shape == (3, 2, 1, 4)
  # Fresh statistics: mean 0, variance 1.
  want = np.einsum('bhwc,hwc->bc', x, kernel[:, :, 0]) / np.sqrt(1 + 1e-5)
  np.testing.assert_allclose(y, want, atol=1e-5)
  with pytest.raises(ValueError, match="tail 'dense': use 'pool', 'gdconv'"):
    apply('dense')


@pytest.mark.parametrize(
  'features, width, multiple, want',
  [(64, 1.0, 8, 64), (64, 0.3, 8, 16), (64, 0.01, 8, 8), (128, 0.3, 32, 32)],
)
def test_scale_channels(features, width, multiple, want):
  got = layers.scale_channels(features, width=width, multiple=multiple)
  assert got == want

"""Spatial attention against a NumPy twin."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from palmjax.models import attention, batch_norm


def draw(shape, seed=0):
  return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def variables():
  return {
    'params': {
      'kernel': draw((7, 7, 2, 1), 1),
      'scale': np.array([1.5], np.float32),
      'shift': np.array([-0.3], np.float32),
    },
    'batch_stats': {
      'mean': np.array([0.4], np.float32),
      'variance': np.array([2.0], np.float32),
    },
  }


def twin(x, variables, train):
  """F · σ(BN(k * [max; mean])) with loops."""
  params, stats = variables['params'], variables['batch_stats']
  batch, height, width, _ = x.shape
  summary = np.stack([x.max(-1), x.mean(-1)], axis=-1)
  padded = np.pad(summary, [(0, 0), (3, 3), (3, 3), (0, 0)])
  z = np.zeros((batch, height, width))
  for i in range(height):
    for j in range(width):
      window = padded[:, i : i + 7, j : j + 7]
      z[:, i, j] = np.einsum('bhwc,hwc->b', window, params['kernel'][..., 0])
  mean = z.mean() if train else stats['mean'][0]
  variance = z.var() if train else stats['variance'][0]
  z = (z - mean) / np.sqrt(variance + 1e-5)
  z = z * params['scale'] + params['shift']
  return x / (1 + np.exp(-z[..., None]))


@functools.partial(jax.jit, static_argnames='train')
def apply(x, train):
  return attention.SpatialAttention(train).apply(
    variables(), x, mutable=['batch_stats']
  )


@pytest.mark.parametrize('train', [False, True])
def test_equals_the_formula(train):
  x = draw((2, 9, 8, 5))
  y, _ = apply(x, train)
  np.testing.assert_allclose(y, twin(x, variables(), train), atol=1e-5)


def test_statistics_move_in_train_mode_only():
  x = draw((2, 9, 8, 5))
  _, kept = apply(x, train=False)
  chex.assert_trees_all_equal(kept['batch_stats'], variables()['batch_stats'])
  _, moved = apply(x, train=True)
  for name, before in variables()['batch_stats'].items():
    assert abs(moved['batch_stats'][name] - before) > 1e-3
  # The kernel sums 98 products of about 1: its output varies by more than 2.
  assert moved['batch_stats']['variance'] > 2 * batch_norm.MOMENTUM


def test_a_hundred_parameters_for_any_number_of_channels():
  for channels in (1, 512):
    x = jax.ShapeDtypeStruct((1, 7, 7, channels), jnp.float32)
    shapes = jax.eval_shape(
      attention.SpatialAttention(False).init, jax.random.key(0), x
    )
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes['params'])) == 100


def test_one_pixel_of_one_image_stays_finite():
  """The batch's variance is zero: BatchNorm gives its shift."""
  x = draw((1, 1, 1, 4))

  @jax.jit
  @functools.partial(jax.grad, has_aux=True)
  def gradient(x):
    y, _ = apply(x, train=True)
    return jnp.sum(y), y

  slope, y = gradient(x)
  np.testing.assert_allclose(y, x / (1 + np.exp(0.3)), rtol=1e-5)
  assert np.all(np.isfinite(slope))


def test_compute_type_of_the_map_is_kept():
  x = draw((2, 4, 4, 3)).astype(jnp.bfloat16)
  y, _ = apply(x, train=False)
  assert y.dtype == jnp.bfloat16
  want = twin(np.asarray(x, np.float32), variables(), train=False)
  y = np.asarray(y, np.float32)
  np.testing.assert_allclose(y, want, rtol=0.01, atol=1e-3)

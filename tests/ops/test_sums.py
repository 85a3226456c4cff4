"""Sums over batch and map against NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from palmjax.ops import sums


def random(*shape, seed=0):
  rng = np.random.default_rng(seed)
  return jnp.asarray(rng.normal(size=shape), jnp.float32)


# Added up in parts of a row, in parts of several rows, and row by row.
@pytest.mark.parametrize('count', [2, 3])
@pytest.mark.parametrize('width', [16, 12, 4, 1, 11, 34, 62, 37])
def test_channel_sums(width, count):
  # Scaled, so that one tolerance fits all widths.
  arrays = [random(2, 3, width, 5, seed=s) / width**0.5 for s in range(count)]
  for got, array in zip(sums.channel_sums(*arrays), arrays, strict=True):
    np.testing.assert_allclose(got, np.sum(array, axis=(0, 1, 2)), atol=1e-5)


def test_gradient_of_channel_sums():
  arrays = [random(2, 3, 16, 5, seed=s) / 4 for s in (0, 1)]

  def scalar(a, b):
    sum_a, sum_ab = sums.channel_sums(a, a * b)
    return jnp.sum(sum_a**2 * sum_ab)

  a, b = (np.asarray(array, np.float64) for array in arrays)
  sum_a, sum_ab = a.sum((0, 1, 2)), (a * b).sum((0, 1, 2))
  got_a, got_b = jax.grad(scalar, argnums=(0, 1))(*arrays)
  want_a = 2 * sum_a * sum_ab + sum_a**2 * b
  np.testing.assert_allclose(got_a, want_a, rtol=1e-4, atol=1e-4)
  np.testing.assert_allclose(got_b, sum_a**2 * a, rtol=1e-4, atol=1e-4)

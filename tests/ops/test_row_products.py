"""Inner products by columns of shifts against those of both axes."""

import jax
import numpy as np

from palmjax.ops import row_products, shifted_products


def noise(*shape, seed=0):
  return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def test_columns_are_those_of_all_shifts():
  size, shift, channels = 23, 5, 2
  n = 2 * shift + 1
  signals = noise(3, size, size, channels)
  kernels = noise(2, size, size, channels, seed=1)
  # What lies outside the central crop does not count.
  kernels[:, :, 0] = 1e6

  def by(ops, products):
    return products(
      ops.transform_signals(signals, shift),
      ops.transform_kernels(kernels, shift),
    )

  @jax.jit
  def columns():
    return by(
      row_products,
      lambda s, k: [row_products.column(s, k, shift, j) for j in range(n)],
    )

  @jax.jit
  def all_shifts():
    return by(
      shifted_products, lambda s, k: shifted_products.products(s, k, shift)
    )

  want = np.asarray(all_shifts()).reshape(n, n, 3, 2)
  got = np.stack(columns(), axis=1)
  np.testing.assert_allclose(got, want, atol=2e-6 * size**2)

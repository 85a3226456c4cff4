"""Inner products over shifts against the definition."""

import functools

import jax
import numpy as np
import pytest

from palmjax.ops import shifted_products


def noise(*shape, seed=0):
  return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize('size, shift, channels', [(16, 2, 1), (21, 3, 3)])
def test_products_equal_the_definition(size, shift, channels):
  signals = noise(2, size, size, channels)
  kernels = noise(3, size, size, channels, seed=1)
  # What lies outside the central crop does not count.
  kernels[:, 0] = 1e6
  shifts, crop = 2 * shift + 1, size - 2 * shift
  want = np.zeros((shifts**2, 2, 3))
  for index in range(shifts**2):
    i, j = divmod(index, shifts)
    for p in range(2):
      for g in range(3):
        moved = signals[p, i : i + crop, j : j + crop].astype(np.float64)
        centre = kernels[g, shift : shift + crop, shift : shift + crop]
        want[index, p, g] = (moved * centre).sum()

  @functools.partial(jax.jit, static_argnums=2)
  def products(signals, kernels, shift):
    return shifted_products.products(
      shifted_products.transform_signals(signals, shift),
      shifted_products.transform_kernels(kernels, shift),
      shift,
    )

  np.testing.assert_allclose(
    products(signals, kernels, shift), want, atol=2e-6 * size**2
  )


@pytest.mark.parametrize(
  'shift, tile', [(2, 7), (3, 7), (4, 7), (5, 7), (6, 7), (8, 7), (6, 10)]
)
def test_matrices_correlate_and_round_little(shift, tile):
  output, signal, kernel = shifted_products.matrices(shift, tile)
  n = 2 * shift + 1
  assert output.shape[0] == n
  p, g = noise(n + tile - 1), noise(tile, seed=1)
  want = [p[i : i + tile].astype(np.float64) @ g for i in range(n)]
  got = output @ ((signal @ p) * (kernel @ g))
  scale = np.linalg.norm(p) * np.linalg.norm(g)
  np.testing.assert_allclose(got, want, atol=2e-6 * scale)


def test_small_shifts_are_refused():
  with pytest.raises(ValueError, match='shifts of up to 1 need no transform'):
    shifted_products.matrices(1)

"""Block means and cell means against a loop."""

import math

import jax
import numpy as np
import pytest

from palmjax.ops import pool


@pytest.mark.parametrize('factor', [1, 2, 3])
def test_equals_the_loop(factor):
  x = np.random.default_rng(0).normal(size=(2, 6, 12, 3)).astype(np.float32)
  got = np.asarray(jax.jit(pool.block_mean, static_argnums=1)(x, factor))
  assert got.shape == (2, 6 // factor, 12 // factor, 3)
  for i in range(6 // factor):
    for j in range(12 // factor):
      block = x[:, i * factor : (i + 1) * factor, j * factor : (j + 1) * factor]
      np.testing.assert_allclose(
        got[:, i, j], block.mean(axis=(1, 2)), atol=1e-6
      )


def test_sides_that_do_not_divide_are_refused():
  with pytest.raises(ValueError, match='cannot shrink 6×4 by 4'):
    pool.block_mean(np.zeros((1, 6, 4, 1), np.float32), 4)


@pytest.mark.parametrize('cells', [1, 3, 4, 9])
def test_cells_cover_the_map(cells):
  """Cells of 7 rows and 5 columns, which share some where they must."""
  x = np.random.default_rng(0).normal(size=(2, 7, 5, 3)).astype(np.float32)
  got = np.asarray(jax.jit(pool.cell_means, static_argnums=1)(x, cells))
  spans = [
    [
      (i * side // n, math.ceil((i + 1) * side / n))
      for n in [min(cells, side)]
      for i in range(n)
    ]
    for side in (7, 5)
  ]
  assert got.shape == (2, len(spans[0]), len(spans[1]), 3)
  for i, (top, bottom) in enumerate(spans[0]):
    for j, (left, right) in enumerate(spans[1]):
      want = x[:, top:bottom, left:right].mean(axis=(1, 2))
      np.testing.assert_allclose(got[:, i, j], want, atol=1e-6)

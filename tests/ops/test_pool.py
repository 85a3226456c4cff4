"""Block means against a loop."""

import numpy as np
import pytest

from palmjax.ops import pool


@pytest.mark.parametrize('factor', [1, 2, 3])
def test_equals_the_loop(factor):
  x = np.random.default_rng(0).normal(size=(2, 6, 12, 3)).astype(np.float32)
  got = pool.block_mean(x, factor)
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

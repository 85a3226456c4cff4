"""Batches in a few sizes, so that a network compiles a few times and no more.

A function of a batch is compiled again for each batch size. Here batches have
1, 16 or 64 rows: the smallest size that holds all rows, and chunks of 64 where
there are more. The rows that fill a batch up are copies of its last row.
"""

import jax
import numpy as np

SIZES = (1, 16, 64)


def indices(count, size):
  """Splits `count` row indices into chunks of one size.

  Args:
    count: N, rows.
    size: of a chunk.

  Returns:
    List of int arrays [size]; in the last chunk those past the end are N − 1,
    as copies that are to be dropped.
  """
  return [
    np.minimum(np.arange(start, start + size), count - 1)
    for start in range(0, count, size)
  ]


def apply(function, rows, *, sizes=SIZES):
  """Applies a compiled function to any number of rows, in fixed batches.

  Args:
    function: array [B, ...] → pytree of arrays [B, ...], row by row, B in
      `sizes`.
    rows: array [N, ...], N at least 1.
    sizes: batch sizes, rising.

  Returns:
    The pytree of NumPy arrays [N, ...].

  Raises:
    ValueError: there is no row.
  """
  count = len(rows)
  if not count:
    raise ValueError('no row to apply a function to: give one or more')
  size = next((size for size in sizes if count <= size), sizes[-1])
  parts = [
    jax.device_get(function(rows[index])) for index in indices(count, size)
  ]
  return jax.tree.map(lambda *leaves: np.concatenate(leaves)[:count], *parts)

"""Decides on a CPU what XLA keeps in memory and what it computes again."""

import jax
import jax.numpy as jnp
from jax import lax


def write_once(x):
  """Returns x, which XLA on a CPU writes to memory before it is read.

  XLA joins cheap arithmetic to each of its readers, which then do it again, for
  every row that they read. It has dropped optimization barriers by then, but it
  joins no `pad` that had one. So x gets one more row, which readers skip.

  Args:
    x: [A, B, …]; the row is one more of B, as A may be split over devices.

  Returns:
    Values and shape of x.
  """
  if jax.default_backend() != 'cpu':
    return x
  borders = [(0, 0), (0, 1)] + [(0, 0)] * (x.ndim - 2)
  return lax.optimization_barrier(jnp.pad(x, borders))[:, :-1]

"""Decides on a CPU what XLA keeps in memory and what it computes again."""

import jax
import jax.numpy as jnp
from jax import lax


def always_true():
  """Returns True, hidden from XLA's optimiser."""
  return lax.optimization_barrier(jnp.array(True))


def apart(function, x, predicate=None):
  """Returns function(x), which XLA on a CPU does not fuse into its readers.

  XLA fuses a sum into the transposition that reads it. That one then takes the
  terms from far apart: 1 ms in place of 0.2 for 2.4 MB. It fuses nothing across
  a condition that it does not know to be true.

  Under `jax.vmap` a predicate that differs between the elements makes the
  condition a selection. The values stay right, but XLA fuses again.

  Args:
    function: tree of arrays → tree of arrays.
    x: tree of arrays.
    predicate: bool, always true. None: a new one.
  """
  if jax.default_backend() != 'cpu':
    return function(x)
  shapes = jax.eval_shape(function, x)
  return lax.cond(
    always_true() if predicate is None else predicate,
    function,
    lambda _: jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes),
    x,
  )


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

"""Small matrix products that XLA computes on all cores of a CPU.

XLA's library divides a product among threads if it has more than 65,536
results, however many of them a batch has. But the executor of a program hands
half of the operations that are ready to another thread, if there are more than
eight. So that it does,

* a batch is many products, each of few matrices;
* they become ready together: a condition (`memory.apart`) writes all operands;
* none waits for another. XLA writes a result where the operand of an earlier
  product was, unless that is read later. `read` reads it later.

Twelve batches of three products of [256, 64] and [64, 64], on 2 cores with
AVX-512, jax 0.10.2: 380 GFLOP/s so, 220 as one batch of 36.
"""

import functools
import operator

import jax
import jax.numpy as jnp
from jax import lax

from palmjax.ops import memory


def multiply(a, b, axes):
  """Matrix products, summed over an axis of each.

  Args:
    a, b: lists of arrays [n, rows, columns].
    axes: of an array of a, and of one of b: the axis to sum over, 1 or 2.

  Returns:
    A list of arrays [n, the other axis of a, the other axis of b].
  """
  left, right = axes
  dimensions = (((left,), (right,)), ((0,), (0,)))
  return [lax.dot_general(*pair, dimensions) for pair in zip(a, b, strict=True)]


def transpose(a, token):
  """[n, rows, columns] → [n, columns, rows], in memory too.

  XLA would leave an array as it is and read it in another order, and a product
  that sums over rows takes 1.6 times as long. A flat array has only one order.

  Args:
    a: a list of arrays.
    token: of `memory.apart`.
  """
  flat = memory.apart(
    lambda a: [jnp.swapaxes(array, 1, 2).reshape(-1) for array in a], a, token
  )
  return [
    new.reshape(len(old), old.shape[2], -1)
    for new, old in zip(flat, a, strict=True)
  ]


def read(token, *arrays):
  """Returns the token of `memory.apart` after a value of each array was read.

  Args:
    token: bool, true.
    *arrays: trees of arrays: operands and results of products.
  """
  values = [array[(0,) * array.ndim] for array in jax.tree.leaves(arrays)]
  return token | (functools.reduce(operator.add, values) > 0)

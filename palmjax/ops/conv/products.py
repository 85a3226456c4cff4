"""Small matrix products that XLA computes on all cores of a CPU.

XLA's library divides a matrix product among threads only if it has more than
65,536 results. The number of matrices in a batch does not count. XLA's executor
can use threads, too: if more than eight operations are ready, it gives half of
them to another thread. Three things make it do so:

* One batch of many matrices becomes many batches of few.
* They are ready at the same time: conditions (`memory.apart`) write all that
  they read, but for what a loop does not change.
* XLA may write a result into the buffer that an earlier product reads. The
  later product then waits for the earlier one. `keep_until_here` uses operands
  and results after all products, so their buffers stay in use.

The last one needs a loop of two steps or more. XLA unrolls a loop of one step
and drops what nobody uses.

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
    axes: (axis of a, axis of b) to sum over, each 1 or 2.

  Returns:
    A list of arrays [n, the other axis of a, the other axis of b].
  """
  left, right = axes
  dimensions = (((left,), (right,)), ((0,), (0,)))
  return [lax.dot_general(*pair, dimensions) for pair in zip(a, b, strict=True)]


def transpose(a, predicate):
  """[n, rows, columns] → [n, columns, rows], in memory too.

  XLA would leave an array as it is and read it in another order, and a product
  that sums over rows takes 1.6 times as long. A flat array has only one order.

  Args:
    a: a list of arrays.
    predicate: of `memory.apart`.
  """
  flat = memory.apart(
    lambda a: [jnp.swapaxes(array, 1, 2).reshape(-1) for array in a],
    a,
    predicate,
  )
  return [
    new.reshape(len(old), old.shape[2], -1)
    for new, old in zip(flat, a, strict=True)
  ]


def keep_until_here(predicate, *arrays):
  """Returns a predicate, true as before, after a value of each array was read.

  One sum reads them all: XLA could read single values before the products.

  Args:
    predicate: bool, true, not known to XLA.
    *arrays: trees of arrays: operands and results of products.
  """
  leaves = [array for array in jax.tree.leaves(arrays) if array.size]
  values = [array[(0,) * array.ndim] for array in leaves]
  return predicate | (functools.reduce(operator.add, values, 0.0) > 0)

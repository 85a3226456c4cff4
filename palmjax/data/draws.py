"""Draws many pictures with a program that draws one.

On a CPU the pictures are drawn one by one, in one thread for each core: XLA
works through the body of a loop on one core. An accelerator draws blocks of
them under `vmap`: one by one it would idle. A picture has the same bits in
every thread; in a block, as on another device, a value may differ by one grey
level.
"""

import os
from concurrent import futures

import jax
import jax.numpy as jnp

# Pixels of a block, which bound its memory, and its largest number of pictures.
_PIXELS, _LARGEST = 2**22, 256
# Pictures of a thread: fewer are not worth it.
_LEAST = 4


def block_size(size):
  """Number of pictures that the backend in use draws at once.

  Args:
    size: side of a picture in pixels.
  """
  if jax.default_backend() == 'cpu':
    return 1
  return max(1, min(_PIXELS // size**2, _LARGEST))


def map_rows(function, rows, *, block):
  """Applies a function of one row to all; pure.

  Args:
    function: pytree of arrays [...] → pytree of arrays.
    rows: pytree of arrays [B, ...].
    block: static int, rows that are computed at once; of `block_size`.

  Returns:
    Pytree of arrays [B, ...].
  """
  count = len(jax.tree.leaves(rows)[0])
  if min(block, count) == 1:
    return jax.lax.map(function, rows)
  return jax.lax.map(function, rows, batch_size=min(block, count))


def on_all_cores(program, shared, rows, *, cores=None):
  """Calls a compiled program on rows; on a CPU on equal parts, in threads.

  Args:
    program: (shared, rows [N, ...]) → pytree of arrays [N, ...], row by row; of
      `jax.jit`. It is compiled for the number of rows of a part.
    shared: pytree that all calls read.
    rows: pytree of arrays [B, ...].
    cores: threads at most; None: as many as the process may use.

  Returns:
    Pytree of arrays [B, ...].
  """
  leaves = jax.tree.leaves(rows)
  parts = _parts(len(leaves[0]), cores or _cores())
  # A thread knows nothing of a trace that another one began.
  traced = any(
    isinstance(leaf, jax.core.Tracer)
    for leaf in [*leaves, *jax.tree.leaves(shared)]
  )
  if parts == 1 or traced or jax.default_backend() != 'cpu':
    return program(shared, rows)
  length = len(leaves[0]) // parts

  def part(number):
    chosen = slice(number * length, (number + 1) * length)
    return jax.block_until_ready(
      program(shared, jax.tree.map(lambda leaf: leaf[chosen], rows))
    )

  with futures.ThreadPoolExecutor(parts) as pool:
    results = list(pool.map(part, range(parts)))
  return jax.tree.map(lambda *parts: jnp.concatenate(parts), *results)


def _parts(count, cores):
  """The largest number of equal parts, none too small."""
  most = max(1, min(cores, count // _LEAST))
  return next(parts for parts in range(most, 0, -1) if count % parts == 0)


def _cores():
  # macOS has no affinities.
  if hasattr(os, 'sched_getaffinity'):
    return len(os.sched_getaffinity(0))
  return os.cpu_count() or 1

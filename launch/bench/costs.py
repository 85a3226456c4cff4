"""What a compiled program costs: time, memory, and FLOP/s beside the ceiling.

The ceiling is a large matrix product, measured in the same run: what this
machine reaches, not what its data sheet says. FLOPs are those of the program
before XLA optimises it, with every convolution as one plain one: XLA counts
the body of a loop once, and on a CPU some convolutions are loops over blocks of
the batch. Winograd's do fewer FLOPs than are counted. A loop of the program
itself still counts once. Memory is what XLA plans for arguments, results and
values in between.
"""

import functools
import time

import jax
import jax.numpy as jnp

from launch.bench import timing
from palmjax.ops.conv import dispatch

# A product takes at least so many seconds, unless its side is the largest.
_LONG_ENOUGH = 0.05
_SIDES = (512, 1024, 2048, 4096, 8192, 16384)
DTYPES = ('float32', 'bfloat16')


def ceilings(repeats, *, sides=_SIDES):
  """Measures FLOP/s of a large matrix product, and prints a line of each type.

  Args:
    repeats: the best of so many counts.
    sides: of the square matrices, rising; the first that takes long enough
      counts.

  Returns:
    {'float32', 'bfloat16'}: FLOP/s.
  """
  return {dtype: _ceiling(dtype, repeats, sides) for dtype in DTYPES}


def _ceiling(dtype, repeats, sides):
  for side in sides:
    matrix = jnp.ones((side, side), dtype)
    seconds = timing.best_of(
      functools.partial(jax.jit(jnp.matmul), matrix, matrix), repeats
    )
    if seconds[1] >= _LONG_ENOUGH:
      break
  flops = 2 * side**3
  timing.report(f'{side}² product, {dtype}', seconds, flops / 1e9, 'GFLOP')
  return flops / seconds[1]


def measure(name, program, arguments, count, repeats, *, ceiling):
  """Compiles, times and prints one program.

  Args:
    name: of the line.
    program: of `jax.jit`; it donates nothing.
    arguments: of each call.
    count: images of a call.
    repeats: the best of so many counts.
    ceiling: FLOP/s.

  Returns:
    The row of `timing.report`, with 'flops', 'share' of the ceiling, and
    'bytes'; None where the backend does not tell.
  """
  start = time.perf_counter()
  compiled = program.lower(*arguments).compile()
  compiling = time.perf_counter() - start
  first, later = timing.best_of(
    lambda: compiled(*arguments), repeats, trains=True
  )
  flops = _flops(program, arguments)
  share = flops and flops / later / ceiling
  size = _bytes(compiled.memory_analysis())
  row = timing.report(name, (compiling + first, later), count)
  timing.note(
    f'{flops / later / 1e9:.1f} GFLOP/s, {share:.1%} of the product'
    if flops
    else None,
    f'{size / 2**20:.0f} MiB' if size else None,
  )
  return {**row, 'flops': flops, 'share': share, 'bytes': size}


def _flops(program, arguments):
  """Floating point operations of a call, or None."""
  function = program.__wrapped__  # Of `jax.jit`.
  # A function of its own: JAX remembers how it traced the other one.
  fresh = jax.jit(lambda *arguments: function(*arguments))
  with dispatch.plain():
    return (fresh.lower(*arguments).cost_analysis() or {}).get('flops')


def _bytes(planned):
  if planned is None:
    return None
  return (
    planned.argument_size_in_bytes
    + planned.output_size_in_bytes
    + planned.temp_size_in_bytes
    - planned.alias_size_in_bytes
  )

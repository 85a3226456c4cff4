"""Numbers for the variables of a network whose program is not needed.

A program that draws them takes 4 CPU-seconds to compile, for a small network.
"""

import jax
import numpy as np


def fill(shapes):
  """Random variables, of a size that lets images differ.

  Args:
    shapes: pytree of `jax.ShapeDtypeStruct`, as `jax.eval_shape` gives.
  """
  generator = np.random.default_rng(0)

  def draw(path, leaf):
    if len(leaf.shape) > 1:
      deviation = np.sqrt(2 / np.prod(leaf.shape[:-1]))
      return generator.normal(0, deviation, leaf.shape).astype(np.float32)
    value = 0.0 if path[-1].key in ('shift', 'mean', 'bias') else 1.0
    return np.full(leaf.shape, value, np.float32)

  return jax.tree_util.tree_map_with_path(draw, shapes)

"""Random blocks of a palm: many named draws from two generator calls.

Every call to a generator compiles on its own, and compiling threefry dozens of
times would take longer than drawing a data set; so each key is used once, for
one block of uniform and one of normal numbers, and cut up afterwards.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np

BOUND = 2.5  # Normal draws are cut to ±BOUND: no palm is absurd.


def blocks(key, uniforms, normals):
  """Named uniform draws in [0, 1) and truncated normal draws.

  Args:
    key: random key, used up.
    uniforms: dict from name to shape.
    normals: dict from name to shape.

  Returns:
    Two dicts from name to float32 array.
  """
  uniform_key, normal_key = jax.random.split(key)
  return (
    cut(jax.random.uniform(uniform_key, (count(uniforms),)), uniforms),
    cut(
      jax.random.truncated_normal(normal_key, -BOUND, BOUND, (count(normals),)),
      normals,
    ),
  )


def count(shapes):
  """Numbers that a dict from name to shape holds."""
  return sum(math.prod(shape) for shape in shapes.values())


def cut(block, shapes):
  """Cuts a block [count(shapes)] into a dict of named arrays."""
  ends = np.cumsum([math.prod(shape) for shape in shapes.values()])
  parts = jnp.split(block, ends[:-1])
  return {
    name: part.reshape(shape)
    for (name, shape), part in zip(shapes.items(), parts, strict=True)
  }


def folds(keys, numbers):
  """`fold_in` of numbers [n] into keys [] or [n], compiled once."""
  axis = 0 if keys.ndim else None
  return jax.vmap(jax.random.fold_in, (axis, 0))(
    keys, jnp.asarray(numbers, jnp.uint32)
  )


def settle(table):
  """The same table [N, K], but computed before it is used.

  XLA on CPU fuses a cheap-looking producer into each consumer and ignores
  barriers in that; a gather would then draw a stroke anew for each of its
  points. It does not fuse across a matrix product.
  """
  return jnp.matmul(
    table, jnp.eye(table.shape[1]), precision=jax.lax.Precision.HIGHEST
  )

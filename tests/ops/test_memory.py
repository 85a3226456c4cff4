import jax
import jax.numpy as jnp
import numpy as np
import pytest

from palmjax.ops import memory


@pytest.mark.parametrize('shape', [(3, 4), (2, 5, 3, 4)])
def test_values_and_gradients_stay(shape):
  x = jnp.arange(np.prod(shape), dtype=jnp.float32).reshape(shape)
  np.testing.assert_array_equal(memory.write_once(x), x)
  gradient = jax.grad(lambda x: jnp.sum(memory.write_once(x) ** 3))(x)
  np.testing.assert_allclose(gradient, 3 * x**2)


@pytest.mark.skipif(
  jax.default_backend() != 'cpu', reason='programs of a CPU are tested'
)
def test_readers_do_not_compute_it_anew():
  """XLA computes the maximum once, not once in each of two readers."""

  def comparisons(hold):
    def compute(x):
      y = hold(jnp.maximum(x, 0.5))
      return jnp.sum(y[:, 1:] * y[:, :-1], (0, 1)), jnp.sum(y, (1, 2))

    compiled = jax.jit(compute).lower(jnp.ones((4, 8, 16))).compile()
    return compiled.as_text().count(' maximum(')

  assert comparisons(memory.write_once) == 1 < comparisons(lambda y: y)


def test_what_is_computed_apart_stays_the_same():
  x = jnp.arange(24, dtype=jnp.float32).reshape(2, 3, 4)

  def cubes(x):
    return memory.apart(lambda x: x**3, x)

  np.testing.assert_allclose(jax.jit(cubes)(x), x**3)
  gradient = jax.jit(jax.grad(lambda x: jnp.sum(cubes(x))))(x)
  np.testing.assert_allclose(gradient, 3 * x**2)


def test_trees_are_computed_apart_on_a_predicate_of_the_caller():
  x = {'a': jnp.arange(3.0), 'b': jnp.ones((2, 2))}

  def pairs(x, predicate):
    return memory.apart(lambda x: [x['a'] + 1, 2 * x['b']], x, predicate)

  got = jax.jit(pairs)(x, memory.always_true())
  np.testing.assert_array_equal(got[0], [1, 2, 3])
  np.testing.assert_array_equal(got[1], 2 * np.ones((2, 2)))


@pytest.mark.skipif(
  jax.default_backend() != 'cpu', reason='programs of a CPU are tested'
)
@pytest.mark.parametrize('length', [1, 4])
def test_readers_do_not_fuse_what_is_computed_apart(length):
  """XLA computes the maximum in a program of its own, not as it transposes."""

  def fused(hold):
    def transposed(x):
      held = hold(lambda x: jnp.maximum(x[1:] + x[:-1], 0.5), x)
      return jax.lax.optimization_barrier(held.T)

    x = jnp.ones((length, 9, 16))
    program = jax.jit(lambda x: jax.lax.map(transposed, x)).lower(x).compile()
    computations = program.as_text().split('\n\n')
    return any(' maximum(' in x and ' transpose(' in x for x in computations)

  assert fused(lambda function, x: function(x))
  assert not fused(memory.apart)

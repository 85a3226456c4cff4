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

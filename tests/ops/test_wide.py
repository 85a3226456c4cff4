import jax
import jax.numpy as jnp
import numpy as np
import pytest

from palmjax.ops import wide


@pytest.mark.parametrize('dtype', [jnp.float32, jnp.bfloat16])
def test_values_keep_the_type_of_the_map(dtype):
  x = jnp.arange(12, dtype=dtype).reshape(2, 3, 2)
  values = jnp.array([0.5, -2.0])
  for result, expected in (
    (wide.add(x, values), x.astype(jnp.float32) + values),
    (wide.multiply(x, values), x.astype(jnp.float32) * values),
  ):
    assert result.dtype == dtype
    np.testing.assert_array_equal(result.astype(jnp.float32), expected)


@pytest.mark.parametrize('operation', [wide.add, wide.multiply])
def test_gradients_are_sums_in_float32(operation):
  """In bfloat16 a sum of ones ends at 256."""
  x = jnp.ones((4, 64, 64, 3), jnp.bfloat16)

  def total(values):
    return jnp.sum(operation(x, values).astype(jnp.float32))

  gradient = jax.jit(jax.grad(total))(jnp.ones(3))
  np.testing.assert_allclose(gradient, 4 * 64 * 64)

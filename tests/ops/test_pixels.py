import jax
import jax.numpy as jnp
import numpy as np

from palmjax.ops import pixels


def test_to_float():
  got = pixels.to_float(np.array([0, 255, 51], np.uint8))
  assert got.dtype == jnp.float32
  np.testing.assert_allclose(got, [-1.0, 1.0, -0.6], atol=1e-6)


def test_to_uint8_rounds_and_cuts_off():
  got = pixels.to_uint8(jnp.array([-7.0, -1.0, 0.01, 0.998, 1.0, 1.2]))
  assert got.dtype == jnp.uint8
  np.testing.assert_array_equal(got, [0, 0, 129, 255, 255, 255])


def test_every_value_comes_back():
  values = np.arange(256, dtype=np.uint8)
  back = jax.jit(lambda x: pixels.to_uint8(pixels.to_float(x)))(values)
  np.testing.assert_array_equal(back, values)

"""Vectors and how they are compared: unit norm, inner products, distances."""

import chex
import jax
import jax.numpy as jnp

# Shorter vectors are divided by this length: a finite derivative at zero.
_SHORTEST = 1e-4


def unit(vectors):
  """Scales vectors [..., D] to unit L2 norm; zero stays zero."""
  square = jnp.sum(jnp.square(vectors), axis=-1, keepdims=True)
  return vectors * jax.lax.rsqrt(jnp.maximum(square, _SHORTEST**2))


def products(a, b):
  """Inner products of vectors [N, D] and [M, D]: [N, M]."""
  chex.assert_rank([a, b], 2)
  chex.assert_equal_shape_suffix([a, b], 1)
  # Accelerators would round to bfloat16: too coarse for a cosine scaled by 64.
  return jnp.matmul(a, b.T, precision=jax.lax.Precision.HIGHEST)


def cosines(a, b):
  """Cosines of vectors [N, D] and [M, D]: [N, M]."""
  return products(unit(a), unit(b))


def euclidean_of_cosine(cosine):
  """Distance d of unit vectors, d² = 2 - 2 cos, of any shape."""
  return jnp.sqrt(jnp.maximum(2.0 - 2.0 * cosine, 0.0))

"""Class weights on top of an embedding network, one row an identity."""

import jax
import jax.numpy as jnp


def init_head(key, num_classes, embedding_size):
  """[num_classes, embedding_size] float32, rows of about unit length."""
  if num_classes < 2:
    raise ValueError(
      f'{num_classes} identity to classify: give at least two identities'
    )
  shape = (num_classes, embedding_size)
  return jax.random.normal(key, shape, jnp.float32) * embedding_size**-0.5

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


def init_split_head(key, num_classes, embedding_size, *, num_rows, sharding):
  """The weights of `init_head`, drawn on the devices that they are split over.

  No device ever holds all of them.

  Args:
    key: random key.
    num_classes: K.
    embedding_size: D.
    num_rows: N, at least K, a multiple of the devices that rows are split over.
    sharding: of an array [N, D].

  Returns:
    float32 [N, D]; the rows past K are 0.
  """

  def draw(key):
    head = init_head(key, num_rows, embedding_size)
    return jnp.where(jnp.arange(num_rows)[:, None] < num_classes, head, 0.0)

  return jax.jit(draw, out_shardings=sharding)(key)

"""Images as they are stored, uint8, and as the code computes, in [-1, 1]."""

import jax.numpy as jnp


def to_float(images):
  """uint8 images of any shape as float32 in [-1, 1]."""
  return images.astype(jnp.float32) / 127.5 - 1.0


def to_uint8(images):
  """float images of any shape, cut off at [-1, 1], as the nearest uint8."""
  images = jnp.clip(images, -1.0, 1.0)
  return jnp.round(images * 127.5 + 127.5).astype(jnp.uint8)

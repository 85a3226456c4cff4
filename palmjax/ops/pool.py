"""Means over blocks: an image or a map shrunk by a whole factor."""

import chex
import jax.numpy as jnp


def block_mean(x, factor):
  """Mean over factor × factor blocks.

  Args:
    x: float [B, H, W, C].
    factor: int ≥ 1.

  Returns:
    [B, H / factor, W / factor, C].

  Raises:
    ValueError: `factor` does not divide H and W.
  """
  chex.assert_rank(x, 4)
  batch, height, width, channels = x.shape
  if height % factor or width % factor:
    raise ValueError(
      f'cannot shrink {height}×{width} by {factor}: both sides must be '
      f'multiples of {factor}'
    )
  blocks = x.reshape(
    batch, height // factor, factor, width // factor, factor, channels
  )
  return jnp.mean(blocks, axis=(2, 4))

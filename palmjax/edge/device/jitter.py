"""Small changes of kept samples, for an update on the device."""

import jax
import jax.numpy as jnp

_PIXELS = 2  # Largest shift.
_GAIN, _OFFSET, _NOISE = 0.2, 0.15, 0.03


def jitter(key, images):
  """Images moved a little, in another light, with noise.

  Args:
    key: random key.
    images: float [B, H, W, 3] in [-1, 1].

  Returns:
    float [B, H, W, 3] in [-1, 1].
  """
  keys = jax.random.split(key, 4)
  count, height, width, _ = images.shape
  padded = jnp.pad(
    images, ((0, 0), (_PIXELS, _PIXELS), (_PIXELS, _PIXELS), (0, 0)), 'edge'
  )
  starts = jax.random.randint(keys[0], (count, 2), 0, 2 * _PIXELS + 1)
  moved = jax.vmap(
    lambda image, start: jax.lax.dynamic_slice(
      image, (start[0], start[1], 0), (height, width, 3)
    )
  )(padded, starts)
  one = (count, 1, 1, 1)
  gain = 1 + _GAIN * jax.random.uniform(keys[1], one, minval=-1)
  offset = _OFFSET * jax.random.uniform(keys[2], one, minval=-1)
  noise = _NOISE * jax.random.normal(keys[3], moved.shape)
  return jnp.clip(gain * moved + offset + noise, -1, 1)

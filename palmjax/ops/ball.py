"""The l∞ ball around images, cut off at their range: where perturbations live.

Images are float in [−1, 1]. A radius is a share of this range, as if it were
[0, 1]: 4/255 is four grey levels. `project` follows arXiv:1706.06083.
"""

import jax
import jax.numpy as jnp


def project(perturbed, images, *, radius):
  """The nearest images within a radius of the given ones and in the range.

  Args:
    perturbed: float [B, h, w, c].
    images: of that shape, in [−1, 1].
    radius: in [0, 1].

  Returns:
    float [B, h, w, c].
  """
  near = jnp.clip(perturbed, images - 2 * radius, images + 2 * radius)
  return jnp.clip(near, -1.0, 1.0)


def uniform(key, images, *, radius):
  """Images plus uniform noise of a radius, cut off at the range.

  Args:
    key: random key.
    images: float [B, h, w, c] in [−1, 1].
    radius: in [0, 1].

  Returns:
    float [B, h, w, c].
  """
  noise = jax.random.uniform(key, images.shape, minval=-2.0, maxval=2.0)
  return project(images + radius * noise, images, radius=radius)

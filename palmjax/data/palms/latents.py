"""Latent variables of the samples of a palm, and the part a session shares.

A latent is √s · z_session + √(1 − s) · z_sample, cut to ±2: two samples
correlate by s within a session and not at all across sessions.
"""

import jax
import jax.numpy as jnp
import numpy as np

from palmjax.data.palms import lines
from palmjax.data.palms import random as palm_random

# Standard normals that make one sample differ, by name.
LATENTS = {
  'warp': (16,),
  'place': (8,),
  'light': (16,),
  'camera': (9,),
  'skin': (2,),
  'visible': (sum(lines.CREASES),),
  'shadow': (4,),
  'occluder': (7,),
  **lines.SPURIOUS_NORMALS,
  'spurious_u': lines.SPURIOUS_UNIFORMS['spurious'],
}
# Share of the variance that the samples of one session have in common.
SHARED = {
  'warp': 0.4,
  'place': 0.4,
  'light': 0.7,
  'camera': 0.4,
  'skin': 0.7,
  'visible': 0.5,
}


def draw(session_key, sample_key):
  """Draws the latent variables of a sample; a part comes from its session.

  Returns:
    dict of normal draws within ±2, shapes `LATENTS`.
  """
  keys = jnp.stack([session_key, sample_key])
  total = palm_random.count(LATENTS)
  both = jax.vmap(
    lambda key: jax.random.truncated_normal(key, -2.0, 2.0, (total,))
  )(keys)
  shared = jnp.asarray(
    np.concatenate(
      [
        np.full(np.prod(shape), SHARED.get(name, 0.0), np.float32)
        for name, shape in LATENTS.items()
      ]
    )
  )
  mixed = jnp.sqrt(shared) * both[0] + jnp.sqrt(1 - shared) * both[1]
  return palm_random.cut(jnp.clip(mixed, -2.0, 2.0), LATENTS)

"""Random styles and images of a generator with `mapping` and `synthesis`.

Style mixing (arXiv:1812.04948, sec. 3.1): the layers before a random cut take
w of one latent, those from there on w of another, so that neighbouring layers
do not learn to rely on one another.
"""

import jax
import jax.numpy as jnp


def styles(
  generator, params, stats, batch_size, key, *, mixing, mean_decay=None
):
  """Draws random styles w for every layer, with style mixing.

  Args:
    generator: generator module.
    params: its parameters.
    stats: its other collections.
    batch_size: number of images B.
    key: random key.
    mixing: probability that an image has two styles.
    mean_decay: of the running mean of w, which follows only if this is given.

  Returns:
    (w float32 [B, num_layers, latent_size], new stats).
  """
  latent_key, cut_key, mix_key = jax.random.split(key, 3)
  z = jax.random.normal(latent_key, (2 * batch_size, generator.latent_size))
  w, stats = generator.apply(
    {'params': params, **stats},
    z,
    mean_decay=mean_decay,
    mutable=list(stats),
    method='mapping',
  )
  layers = generator.num_layers
  cut = jax.random.randint(cut_key, (batch_size, 1), 1, layers)
  mixed = jax.random.bernoulli(mix_key, mixing, (batch_size, 1))
  first = (jnp.arange(layers) < cut) | ~mixed
  return jnp.where(
    first[..., None], w[:batch_size, None], w[batch_size:, None]
  ), stats


def synthesis(generator, params, stats, w, key):
  """Images float32 [B, H, W, C] of w [B, num_layers, dim], noise from `key`."""
  return generator.apply(
    {'params': params, **stats}, w, rngs={'noise': key}, method='synthesis'
  )

"""A trained generator as a function: random key → images."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from palmjax.models import generator as generators
from palmjax.networks import chunks
from palmjax.networks import export as exports
from palmjax.ops import pixels


def load(directory, *, truncation):
  """Reads the export of a generator.

  Args:
    directory: export folder.
    truncation: ψ of the truncation of w; 1 is none.

  Returns:
    draw(key, count) → uint8 [count, H, W, 3]; image n depends on (key, n)
    alone.

  Raises:
    ValueError, OSError: the export is damaged or incomplete, or of another
      kind of network.
  """
  found = exports.load(directory)
  exports.require_kind(found, 'generator', directory)
  sizes = {k: v for k, v in found.model.items() if k in _SIZES}
  sizes['dtype'] = jnp.dtype(sizes['dtype'])
  draw = make_draw(generators.Generator(**sizes), truncation=truncation)
  stats = dict(found.variables)
  return functools.partial(draw, stats.pop('params'), stats)


_SIZES = (
  'image_size',
  'latent_size',
  'mapping_layers',
  'fmap_base',
  'fmap_max',
  'dtype',
)


def make_draw(generator, *, truncation=1.0):
  """Builds draw(params, stats, key, count) → uint8 [count, H, W, 3].

  Image n depends on (key, n) alone, never on its place in a batch.
  """

  def one(params, stats, key):
    latent_key, noise_key = jax.random.split(key)
    image = generators.generate(
      generator,
      params,
      stats,
      jax.random.normal(latent_key, (1, generator.latent_size)),
      noise_key,
      truncation=truncation,
    )[0]
    return pixels.to_uint8(image)

  @jax.jit
  def many(params, stats, key, numbers):
    keys = jax.vmap(lambda n: jax.random.fold_in(key, n))(numbers)
    return jax.vmap(one, in_axes=(None, None, 0))(params, stats, keys)

  def draw(params, stats, key, count):
    return chunks.apply(
      functools.partial(many, params, stats, key), np.arange(count)
    )

  return draw

"""A trained generator as a function: random key → images."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from palmjax import json_values
from palmjax.models import generator as generators
from palmjax.networks import described, variables
from palmjax.networks import export as exports
from palmjax.ops import chunks, pixels

_SIZES = {
  'image_size': json_values.Rule(
    lambda value: (
      type(value) is int
      and value in {n << k for n in (4, 5, 6, 7) for k in range(1, 12)}
    ),
    'give 4, 5, 6 or 7 times a power of two, 8 or more',
  ),
  'latent_size': json_values.whole(1),
  'mapping_layers': json_values.whole(1),
  'fmap_base': json_values.whole(1),
  'fmap_max': json_values.whole(1),
}
# What model.json may say of a generator.
_MODEL = {
  'name': json_values.one_of('generator'),
  'dtype': described.DTYPE,
  **_SIZES,
  **described.OF_TRAINING,
}


def build(description):
  """Builds the generator module that the export's `model` describes."""
  return generators.Generator(
    **{name: description[name] for name in _SIZES},
    dtype=jnp.dtype(description['dtype']),
  )


def load(directory, *, truncation):
  """Reads the export of a generator.

  Args:
    directory: export folder.
    truncation: ψ of the truncation of w; 1 is none.

  Returns:
    generate(key, count) → uint8 [count, H, W, 3]; image n depends on (key, n)
    alone.

  Raises:
    ValueError, OSError: the export is damaged or incomplete, or of another
      kind of network.
  """
  export = exports.load(directory)
  exports.require_kind(export, 'generator', directory)
  generator = described.build(export, _MODEL, build, directory)
  described.check_no_input(export, directory)
  generate = make_generate(generator, truncation=truncation)
  stats = variables.load(export, functools.partial(_init, generator), directory)
  return functools.partial(generate, stats.pop('params'), stats)


def _init(generator, key):
  """The variables of a generator, for their shapes."""
  latents = jnp.zeros((1, generator.latent_size))
  return generator.init({'params': key, 'noise': key}, latents)


def make_generate(generator, *, truncation=1.0):
  """Builds generate(params, stats, key, count) → uint8 [count, H, W, 3].

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

  def generate(params, stats, key, count):
    return chunks.apply(
      functools.partial(many, params, stats, key), np.arange(count)
    )

  return generate

"""Small palm networks of every kind, with numbers that no layer can lose."""

import dataclasses

import jax
import numpy as np

from palmjax.images import preprocess
from palmjax.networks import palm, variables
from tests import filled_variables

SIZE = 32
IMAGES = np.random.default_rng(0).integers(0, 256, (3, SIZE, SIZE, 3), np.uint8)


def make(name, *, attention=False, number=None, **input_options):
  """A `PalmNetwork` of a backbone; `number` is that of an exit."""
  description = {
    'name': name,
    'embedding_size': 8,
    'width': 0.0625,
    'dtype': 'float32',
    'attention': attention,
    'loss': 'arcface',
    'scale': 16.0,
  }
  if number is not None:
    description['exit'] = number
  spec = preprocess.Preprocess(image_size=SIZE, **input_options)
  model = palm.build(description)
  init = variables.of_images(model, spec.shape)
  values = filled_variables.fill(jax.eval_shape(init, jax.random.key(0)))
  values = jax.tree.map(_moved, values)
  return palm.PalmNetwork(
    model=model,
    params={'backbone': values.pop('params')},
    stats=values,
    preprocess=spec,
    description=description,
    digests={'weights_sha256': name, 'preprocess_sha256': name},
  )


def of_type(network, dtype):
  """The same network, that says it computes in another type."""
  description = {**network.description, 'dtype': dtype}
  return dataclasses.replace(network, description=description)


def _moved(leaf):
  """Else a scale is 1 and a shift 0, and nobody would miss them."""
  if leaf.ndim > 1:
    return leaf
  noise = np.random.default_rng(leaf.size).normal(0, 0.2, leaf.shape)
  return (leaf + abs(noise)).astype(np.float32)

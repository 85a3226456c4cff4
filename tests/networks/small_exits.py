"""A small palm network with exits as it was drawn."""

import jax
import numpy as np

from palmjax.images import preprocess
from palmjax.models import exits
from palmjax.networks import export, palm

SPEC = preprocess.Preprocess(image_size=32)
MODEL = {
  'name': 'resnet18_small_gdconv',
  'embedding_size': 8,
  'width': 0.0625,
  'dtype': 'float32',
  'attention': False,
  'loss': 'arcface',
  'scale': 16.0,
  'exit': 4,
}
CLASSES = 5


def variables():
  """Of the whole network, with class weights."""
  model = palm.build(MODEL).clone(until=None)
  images = np.zeros((1, *SPEC.shape), np.float32)
  values = dict(
    jax.jit(lambda key: model.init(key, images, train=False))(jax.random.key(0))
  )
  head = exits.init_heads(jax.random.key(1), CLASSES, model)
  params = {'backbone': values.pop('params'), 'head': np.asarray(head)}
  return {'params': params, **values}


def save(directory, values, **changes):
  """Exports variables; returns the folder."""
  export.save(
    directory,
    variables=values,
    model={**MODEL, **changes},
    preprocess=SPEC.to_json(),
  )
  return directory


def load(directory):
  """The network with all exits, exported into a folder."""
  return palm.whole(export.load(save(directory, variables())), directory)

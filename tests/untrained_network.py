"""A small palm network as it was drawn, exported."""

import functools

import jax
import numpy as np

from palmjax.images import preprocess
from palmjax.models import backbones
from palmjax.networks import export

IMAGE_SIZE = 32
_NETWORK = {
  'name': 'mobilefacenet',
  'width': 0.125,
  'embedding_size': 16,
  'attention': False,
  'dtype': 'float32',
}


def save(directory, **numbers):
  """Writes the export of a network for images of `IMAGE_SIZE`.

  Args:
    directory: folder of the export.
    **numbers: of the pre-processing, where they are not the usual ones.
  """
  model = backbones.build(**{**_NETWORK, 'dtype': np.float32})
  spec = preprocess.Preprocess(image_size=IMAGE_SIZE, **numbers)
  variables = jax.jit(functools.partial(model.init, train=False))(
    jax.random.key(0), np.zeros((1, *spec.shape), np.float32)
  )
  params = {'backbone': variables['params'], 'head': np.zeros((2, 16), 'f4')}
  export.save(
    directory,
    variables={'params': params, 'batch_stats': variables['batch_stats']},
    model={**_NETWORK, 'loss': 'arcface', 'margin': 0.3, 'scale': 32.0},
    preprocess=spec.to_json(),
  )

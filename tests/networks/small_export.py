"""An export of a few numbers."""

import numpy as np

from palmjax.networks import export

MODEL = {'name': 'mobilefacenet', 'width': 0.5, 'stages': [1, 2]}
PREPROCESS = {'channels': 'grey', 'image_size': 48, 'value_range': [-1.0, 1.0]}


def variables():
  generator = np.random.default_rng(0)
  return {
    'params': {
      'conv': {
        'kernel': generator.normal(size=(3, 3, 1, 4)).astype(np.float32),
        'bias': np.zeros(4, np.float32),
      },
      'scale': np.float32(2.5),
    },
    'batch_stats': {'bn': {'count': np.arange(3, dtype=np.int32)}},
  }


def save(directory, **changes):
  arguments = {
    'variables': variables(),
    'model': MODEL,
    'preprocess': PREPROCESS,
    **changes,
  }
  export.save(directory, **arguments)
  return directory

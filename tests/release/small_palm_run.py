"""What a training of palms leaves, without training."""

import json

import jax
import numpy as np
from scipy import ndimage

from configs import metric as metric_config
from palmjax.images import preprocess
from palmjax.models import backbones
from palmjax.networks import export
from tests import filled_variables

SIZE, DRAWN = 32, 48
# 6 samples are two sessions.
IDENTITIES, SUBSET, SAMPLES = 16, 14, 6
SET = '24x4_32px_difficulty0.7_devices8_seed1'
NETWORK = {
  'name': 'mobilefacenet',
  'width': 0.125,
  'embedding_size': 16,
  'attention': False,
  'dtype': 'float32',
}


def shapes_of(sizes, size):
  """The variables of a network, without numbers."""
  model = backbones.build(**{**sizes, 'dtype': np.dtype(sizes['dtype']).type})
  return jax.eval_shape(
    lambda: model.init(
      jax.random.key(0), np.zeros((1, size, size, 1), np.float32), train=False
    )
  )


def draw_batch(key, identities, samples, *, size, difficulty, devices):
  """Stands in for `palms.draw_batch`, which takes long to compile."""
  seed = int(jax.random.key_data(key)[-1])
  images = []
  for numbers in zip(identities, samples, devices, strict=True):
    who, sample, device = map(int, numbers)
    palm = np.random.default_rng([seed, who]).normal(size=(size, size, 3))
    noise = np.random.default_rng([seed, who, sample, device])
    palm += difficulty * noise.normal(size=palm.shape)
    palm = ndimage.gaussian_filter(palm, (1.5, 1.5, 0))
    images.append(np.clip(128 + 200 * palm, 0, 255).astype(np.uint8))
  return np.stack(images)


def write_run(directory):
  """What training leaves, without training."""
  variables = filled_variables.fill(shapes_of(NETWORK, SIZE))
  # As large as what may be shipped in all.
  head = np.zeros((125_000, 16), np.float32)
  export.save(
    directory / 'network' / 'export',
    variables={
      'params': {'backbone': variables['params'], 'head': head},
      'batch_stats': variables['batch_stats'],
    },
    model={**NETWORK, 'loss': 'arcface'},
    preprocess=preprocess.Preprocess(image_size=SIZE).to_json(),
  )
  config = metric_config.get_config('weights').to_dict()
  config['data']['dir'] = f'{directory}/{SET}/1.1.0'
  config['cnn'] |= {'steps': 70, 'start': str(directory.parent / 'start')}
  (directory / 'config.json').write_text(json.dumps(config))
  (directory / 'metrics.jsonl').write_text('{"step": 50, "loss": 9.5}\n')

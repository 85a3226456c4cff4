"""What a training of hands leaves, without training."""

import jax
import numpy as np

from configs import gesture as gesture_config
from palmjax.data.hands import hands
from palmjax.networks import export
from palmjax.networks import hand as hand_networks

SIZE = 32
DESCRIPTION = {
  'name': 'detector',
  'classes': list(hands.GESTURES),
  'width': 0.25,
  'depth': 0,
  'level': 1,
  'factor': 1,
  'dtype': 'float32',
}
FIVE = hands.GESTURES.index('five')


def draw_batch(key, numbers, *, size, difficulty, **pins):
  """Stands in for `hands.draw_batch`, which takes long to compile."""
  del difficulty
  seed = int(jax.random.key_data(key)[-1])
  count = len(numbers)
  images = np.stack(
    [
      np.random.default_rng([seed, int(n)]).integers(
        0, 256, (size, size, 3), np.uint8
      )
      for n in numbers
    ]
  )
  box = np.array([0.2, 0.1, 0.8, 0.9], np.float32) * size
  points = np.array([[0.4, 0.5], [0.6, 0.5], [0.5, 0.9]], np.float32) * size
  valid = np.arange(3) < 1
  return {
    'image': images,
    'boxes': np.where(valid[:, None], box, 0)[None].repeat(count, 0),
    'classes': np.full((count, 3), pins.get('gesture', 1)),
    'valid': valid[None].repeat(count, 0),
    'points': np.where(valid[:, None, None], points, 0)[None].repeat(count, 0),
    'framed': valid[None].repeat(count, 0),
    'facing': valid[None].repeat(count, 0),
  }


def write_run(directory, **changes):
  """What training leaves, without training."""
  config = gesture_config.get_config('weights')
  config.update_from_flattened_dict(changes)
  directory.mkdir(parents=True)
  (directory / 'config.json').write_text(config.to_json())
  (directory / 'metrics.jsonl').write_text(f'{{"run": "{directory.name}"}}\n')


def after(start, **changes):
  """Of a run that went on from another."""
  return {'train.start': f'{start}/student_alone/export', **changes}


def write_export(run, variables, **changes):
  """The detector that a run trained."""
  export.save(
    run / 'student_alone' / 'export',
    variables=variables,
    model={**DESCRIPTION, **changes},
    preprocess=hand_networks.HandInput(image_size=64).to_json(),
  )

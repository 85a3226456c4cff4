"""What students start from is a whole network of their kind."""

import jax
import numpy as np
import pytest

from configs import gesture as gesture_config
from palmjax.networks import export
from palmjax.networks import hand as hand_networks
from palmjax.networks import variables as network_variables
from palmjax.recipes.shared import hand_settings, hand_training

CLASSES = ('one', 'two')


@pytest.fixture
def config():
  config = gesture_config.get_config('smoke')
  config.student.width = 0.125
  return config


def test_variables_that_do_not_fit_are_refused(config, tmp_path):
  description = hand_settings.describe(config, 'student', CLASSES)
  init = network_variables.of_images(
    hand_networks.build(description), (32, 32, 3)
  )
  shapes = jax.eval_shape(init, jax.random.key(0))
  variables = jax.tree.map(lambda leaf: np.zeros(leaf.shape, 'f4'), shapes)
  preprocess = hand_networks.HandInput(image_size=32).to_json()
  config.train.start = str(tmp_path)
  export.save(
    tmp_path, variables=variables, model=description, preprocess=preprocess
  )
  hand_training.check_start(config, CLASSES)
  config.dtype = 'bfloat16'  # Says nothing of the weights.
  hand_training.check_start(config, CLASSES)
  with pytest.raises(ValueError, match=r'--config\.train\.start=.* classes'):
    hand_training.check_start(config, ('one', 'three'))
  del variables['batch_stats']
  export.save(
    tmp_path, variables=variables, model=description, preprocess=preprocess
  )
  with pytest.raises(ValueError, match=r'does not fit .* none in the export'):
    hand_training.check_start(config, CLASSES)

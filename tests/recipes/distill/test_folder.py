"""A device on the palms of a folder: what sets its thresholds."""

import numpy as np
import pytest
from PIL import Image

from configs import distill as distill_config
from palmjax.recipes.distill import recipe


def test_a_small_folder_leaves_no_palm_to_set_thresholds_on(tmp_path):
  rng = np.random.default_rng(0)
  for k in range(40):
    folder = tmp_path / 'palms' / f'p{k}'
    folder.mkdir(parents=True)
    for n in range(6):
      pixels = rng.integers(0, 256, (32, 32, 3), np.uint8)
      Image.fromarray(pixels).save(folder / f'{n}.png')
  config = distill_config.get_config('smoke')
  config.data.name, config.data.dir = 'folder', str(tmp_path / 'palms')
  config.labelled.identities, config.labelled.images = 8, 6
  with pytest.raises(
    ValueError, match=r'^the thresholds of devices need palms '
  ):
    recipe.run(config, tmp_path / 'run')

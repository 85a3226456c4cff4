"""The recipe on boxes of a folder, in each form, from random weights."""

import json

import numpy as np
import pytest

from configs import robust as robust_config
from palmjax.networks import hand as hand_networks
from palmjax.recipes.robust import recipe as robust_recipe
from palmjax.recipes.shared import hand_images
from tests.recipes.robust import box_sets

FORMS = ('yolo', 'voc', 'coco')


def config_of(form, root):
  """The smoke run of one arm and one update, on a set alone."""
  config = robust_config.get_config('smoke')
  config.update_from_flattened_dict(
    {
      'data.name': form,
      'data.dir': str(root),
      'data.images': 0,
      'arms': ('ot',),
      'train.statistics': 'auto',
      'train.batch_size': 4,
      'train.steps': 1,
      'train.warmup_steps': 0,
      'attack.radii': (8,),
      'attack.images': 2,
      'attack.batch_size': 2,
    }
  )
  return config


def test_the_forms_tell_the_same(tmp_path):
  loaded = []
  for form in FORMS:
    root = tmp_path / form
    root.mkdir()
    config = config_of(form, box_sets.write(root, form))
    loaded.append(hand_images.load(config, None, tmp_path))
  first = loaded[0]
  assert first.classes == box_sets.NAMES
  assert len(first.training['image']) == box_sets.PARTS['train']
  assert len(first.tests['']['image']) == box_sets.PARTS['val']
  assert first.training['valid'].sum() == box_sets.PARTS['train']
  for other in loaded[1:]:
    for name, array in first.training.items():
      np.testing.assert_allclose(other.training[name], array, atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize('form', FORMS)
def test_boxes_of_a_folder_are_trained_on_and_attacked(form, tmp_path):
  """With classes of their own, which the shipped detector does not know."""
  root = tmp_path / 'set'
  root.mkdir()
  config = config_of(form, box_sets.write(root, form))
  workdir = tmp_path / 'run'
  robust_recipe.run(config, workdir)
  models = json.loads((workdir / 'metrics.json').read_text())['models']
  assert models.keys() == {'ot'}
  assert 0 <= models['ot']['ap50@8/255']['value'] <= 1
  network = hand_networks.load(workdir / 'ot' / 'export')
  assert network.classes == box_sets.NAMES

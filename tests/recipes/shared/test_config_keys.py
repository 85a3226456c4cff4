"""Errors name the key that the user can set, and nothing is checked late."""

import pathlib
import re

import pytest

from configs import gesture as gesture_config
from configs import metric as metric_config
from configs import ssl as ssl_config
from palmjax.engine import mesh as meshes
from palmjax.networks import shipped
from palmjax.recipes.gesture import checks as gesture_checks
from palmjax.recipes.gesture import recipe as gesture
from palmjax.recipes.metric import checks as metric_checks
from palmjax.recipes.shared import config_keys, hand_training
from palmjax.recipes.ssl import checks as ssl_checks

ROOT = pathlib.Path(__file__).parents[3]
RECIPES = {
  'ssl': (ssl_config, ssl_checks.check),
  'metric': (metric_config, metric_checks.check),
  'gesture': (
    gesture_config,
    lambda config, mesh: gesture_checks.check(config, mesh, arms=gesture.ARMS),
  ),
}


@pytest.mark.parametrize(
  'leaf,user',
  [
    ('blur=-1: give 0 or more', '--config.augment.blur=-1: give 0 or more'),
    ('too few palms', '--config.augment: too few palms'),
    (
      'lower `images` to 4 or `palms`',
      'lower --config.augment.images to 4 or --config.augment.palms',
    ),
    ('--config.seed=-1: no', '--config.seed=-1: no'),
  ],
)
def test_a_leaf_names_its_argument_and_a_recipe_the_key(leaf, user):
  with (
    pytest.raises(ValueError, match=f'^{re.escape(user)}$'),
    config_keys.named('augment'),
  ):
    raise ValueError(leaf)


def test_leaves_know_no_keys():
  leaves = ('data', 'images', 'models', 'losses', 'ops', 'steps', 'evals')
  assert [
    path
    for name in leaves
    for path in (ROOT / 'palmjax' / name).rglob('*.py')
    if '--config.' in path.read_text()
  ] == []


@pytest.mark.parametrize('recipe', RECIPES)
@pytest.mark.parametrize(
  'key,value,words',
  [
    ('seed', -1, 'give a number from 0 to 4294967295'),
    ('seed', 2**32, 'give a number from 0 to 4294967295'),
    ('num_devices', -1, 'give 0 or more'),
    ('log_every', 0, 'give 1 or more'),
    ('image_size', 0, 'give'),
    ('image_size', 2**31, 'give integers below 2147483648'),
    ('augment.noise', float('nan'), 'give finite numbers'),
    ('augment.contrast', float('inf'), 'give finite numbers'),
    ('augment.blur', -0.5, 'give 0 or more'),
    ('data.difficulty', 1.5, 'give a number from 0 to 1'),
  ],
)
def test_every_recipe_refuses_at_the_start(recipe, key, value, words):
  module, check = RECIPES[recipe]
  config = module.get_config('smoke')
  config.update_from_flattened_dict({key: value})
  with pytest.raises(ValueError, match=words) as caught:
    check(config, meshes.make(1))
  assert str(caught.value).startswith(f'--config.{key}={value}: ')
  assert '\n' not in str(caught.value)


@pytest.mark.parametrize(
  'recipe,key,value',
  [
    ('ssl', 'cnn.margin', -0.1),
    ('ssl', 'cnn.scale', 0.0),
    ('ssl', 'cnn.momentum', 1.0),
    ('ssl', 'evaluation.fars', [0.1, 0.0]),
    ('ssl', 'evaluation_share', 1.0),
    ('ssl', 'gan.ada_hue', -1.0),
    ('ssl', 'gan.ada_limit', 1.5),
    ('ssl', 'gan.fmap_max', 0),
    ('ssl', 'gan.learning_rate', -0.001),
    ('ssl', 'gan.path_length_weight', -1.0),
    ('ssl', 'gan.r1_gamma', -0.1),
    ('ssl', 'network.embedding_size', 0),
    ('ssl', 'network.width', 0.0),
    ('ssl', 'soft.truncation', 0.0),
    ('metric', 'evaluation.fmrs', ('x',)),
    ('metric', 'evaluation.sets', (-1,)),
    ('metric', 'evaluation_share', -1.0),
    ('metric', 'loss.blend_steps', 0),
    ('metric', 'loss.boundaries', ('x',)),
    ('metric', 'loss.hard_share', 1.5),
    ('metric', 'loss.triplet_margin', -1.0),
    ('gesture', 'palm_frame.weight_decay', -1.0),
  ],
)
def test_what_would_fail_late_is_refused_by_its_key(recipe, key, value):
  module, check = RECIPES[recipe]
  config = module.get_config('smoke')
  config.update_from_flattened_dict({key: value})
  with pytest.raises(ValueError, match=f'^--config.{key}=.*give'):
    check(config, meshes.make(1))


def test_what_a_network_starts_from_is_looked_at_first(tmp_path):
  config = metric_config.get_config('smoke')
  config.cnn.start = str(shipped.PALM)
  with pytest.raises(ValueError, match=r'--config\.cnn\.start=.* has another'):
    metric_checks.check(config, meshes.make(1))
  config.cnn.start = str(tmp_path)
  with pytest.raises((ValueError, OSError), match=str(tmp_path)):
    metric_checks.check(config, meshes.make(1))

  config = gesture_config.get_config('smoke')
  hand_training.check_start(config, ('open',))  # From random weights.
  config.train.start = str(shipped.HAND)
  with pytest.raises(ValueError, match=r'--config\.train\.start=.* another'):
    hand_training.check_start(config, ('open',))


@pytest.mark.parametrize('recipe', RECIPES)
def test_a_folder_that_would_be_ignored_is_refused(recipe):
  module, check = RECIPES[recipe]
  config = module.get_config('smoke')
  config.data.dir = 'mine'
  drawn = config.data.name
  with pytest.raises(ValueError, match='draws its images; give') as caught:
    check(config, meshes.make(1))
  assert str(caught.value).startswith(
    f'--config.data.dir=mine is not read: --config.data.name={drawn} draws'
  )


def test_a_warm_up_that_does_not_fit_names_its_key():
  module, check = RECIPES['ssl']
  config = module.get_config('')
  config.cnn.steps = 20
  with pytest.raises(ValueError, match=r'give --config\.cnn\.warmup_steps of'):
    check(config, meshes.make(1))

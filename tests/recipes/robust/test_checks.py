"""Settings that cannot work, and variants that can."""

import jax
import numpy as np
import pytest

from configs import robust as robust_config
from palmjax.data.hands import hands
from palmjax.engine import mesh
from palmjax.networks import hand as hand_networks
from palmjax.networks import shipped
from palmjax.recipes.robust import checks as robust_checks
from palmjax.recipes.robust import (
  palm_checks,
  palm_recipe,
  statistics,
  training,
)
from palmjax.recipes.robust import recipe as robust_recipe
from palmjax.recipes.shared import config_keys, ending, sections


@pytest.mark.parametrize(
  'key, value, message',
  [
    ('image_size', 40, 'image_size=40: give a multiple of 32'),
    ('dtype', 'fp16', 'dtype=fp16: choose one of'),
    ('arms', (), r'arms=\(\): choose from'),
    ('arms', ('ott',), r"arms=\('ott',\): choose from \('plain'"),
    ('data.name', 'yolo', 'data.name=yolo needs --config.data.dir=DIR'),
    ('data.images', 0, r'data\.images=0: give 1 or more'),
    ('data.repeat', 2, 'repeat=2 repeats the images of a folder'),
    ('data.detail', 1.5, r'perturbed images are seen whole; give 1 and 0'),
    ('augment.closer', 0.5, r'perturbed images are seen whole; give 1 and 0'),
    ('augment.grey', 1.5, r'augment\.grey=1\.5: give a probability'),
    ('loss.cells', 4, 'loss.cells=4: choose one of 1, 9'),
    ('perturb.epsilon', 1.5, r'epsilon=1\.5: give a number from 0 to 1'),
    ('perturb.epsilon', -0.1, r'epsilon=-0\.1: give a number from 0 to 1'),
    ('perturb.step_size', 0.0, r'step_size=0\.0: give a number above 0'),
    ('perturb.num_steps', 0, r'num_steps=0: give 1 or more'),
    ('perturb.vector', 'mean', 'vector=mean: choose one of pooled, levels'),
    ('perturb.solver', 'lp', 'solver=lp: choose one of sinkhorn, ipot'),
    ('perturb.solver_epsilon', 0.0, r'solver_epsilon=0\.0: give a number abo'),
    (
      'perturb.statistics',
      'none',
      r'perturb\.statistics=none: choose one of a',
    ),
    ('perturb.replays', 0, r'replays=0: give 1 or more'),
    ('train.statistics', 'none', r'train\.statistics=none: choose one of aut'),
    ('train.statistics', 'running', r"running keeps .*start='': give .*=auto"),
    ('train.weight', -1.0, r'train\.weight=-1\.0: give 0 or more'),
    ('train.learning_rate', 0.0, r'learning_rate=0\.0: give a number abov'),
    ('attack.radii', (), r'attack\.radii=\(\): give rising grey levels'),
    ('attack.radii', (4, 2), r'attack\.radii=\(4, 2\): give rising'),
    ('attack.radii', (0, 2), r'attack\.radii=\(0, 2\): give rising'),
    ('attack.steps', 0, r'attack\.steps=0: give 1 or more'),
    ('attack.targets', 0, r'attack\.targets=0: give 1 or more'),
    ('attack.battery', 'all', r'battery=all: choose one of short, table'),
    ('evaluation.resamples', 0, r'resamples=0: give 1 or more'),
  ],
)
def test_settings_that_cannot_work_are_refused_at_once(
  tmp_path, key, value, message
):
  config = robust_config.get_config('smoke')
  config.update_from_flattened_dict({key: value})
  with pytest.raises(ValueError, match=message) as caught:
    robust_recipe.run(config, tmp_path)
  assert '\n' not in str(caught.value)
  assert {path.name for path in tmp_path.iterdir()} <= {'.lock'}


@pytest.mark.parametrize(
  'variant', ['', 'smoke', 'table', 'table4', 'full', 'ablation']
)
def test_the_variants_can_run(variant):
  robust_checks.check(robust_config.get_config(variant), mesh.make(1))


@pytest.mark.parametrize(
  'start, update, attack',
  [('shipped', 'running', 'running'), ('', 'joint', 'batch')],
)
@pytest.mark.parametrize('section', ['train', 'cnn'])
def test_statistics_follow_from_the_start(start, update, attack, section):
  """Random weights have none that could stay; what is given stays."""
  config = robust_config.get_config()
  config.start = start
  if section == 'cnn':
    config = sections.of(config, palm_recipe.SECTION)
    palm_checks.check(config, mesh.make(1))
  else:
    robust_checks.check(config, mesh.make(1))
  settled = statistics.settle(config, section)
  assert settled[section].statistics == update
  assert settled.perturb.statistics == attack
  # What is written into config.json stays as it was given.
  assert config[section].statistics == config.perturb.statistics == 'auto'
  config[section].statistics, config.perturb.statistics = 'separate', 'running'
  settled = statistics.settle(config, section)
  assert settled.to_dict() == config.to_dict()


@pytest.mark.parametrize('variant', ['', 'table', 'table4', 'full', 'palms'])
def test_nothing_ends_an_arm_before_the_others(variant):
  config = robust_config.get_config(variant)
  assert ending.rules(config.stop, epoch_steps=1) == ()
  assert 'stop' not in config.recognise


@pytest.mark.parametrize(
  'task, section', [('detect', 'train'), ('recognise', 'recognise.cnn')]
)
def test_a_threshold_needs_a_rate_that_knows_no_end(tmp_path, task, section):
  config = robust_config.get_config('smoke')
  config.update_from_flattened_dict(
    {'task': task, 'stop.loss': 7.0, f'{section}.schedule': 'cosine'}
  )
  message = rf'stop\.loss=7\.0 .*--config\.{section}\.schedule=cosine needs a'
  with pytest.raises(ValueError, match=message):
    robust_recipe.run(config, tmp_path)


def test_two_tables_differ_in_the_radius_alone():
  config, other = map(robust_config.get_config, ('table', 'table4'))
  for key in ('epsilon', 'step_size'):
    assert (config.perturb[key], other.perturb[key]) == (8 / 255, 4 / 255)
    other.perturb[key] = 8 / 255
  assert config.to_dict() == other.to_dict()
  assert robust_config.sweep('table') == robust_config.sweep('table4')


def test_each_row_of_the_ablation_changes_one_setting_or_the_arm():
  usual = robust_config.get_config('ablation')
  rows = {}
  for run in robust_config.sweep('ablation'):
    assert run.pop('seed') == 100
    name = run.pop('row')
    settings = run.keys() - {'arms'}
    assert len(settings) <= 1
    assert bool(run) == (name != 'ot, as it is')
    config = robust_config.get_config('ablation')
    config.update_from_flattened_dict(run)
    robust_checks.check(config, mesh.make(1))
    for key, value in run.items():
      assert value != config_keys.get(usual, key)
    assert len(config.arms) == 1
    rows[name] = run
  changed = {key for run in rows.values() for key in run}
  assert changed == {
    'arms',
    'perturb.num_steps',
    'perturb.vector',
    'perturb.solver_epsilon',
    'perturb.statistics',
    'train.batch_size',
    'train.statistics',
    'train.steps',
    'train.weight',
  }
  # Each in another arm has its counterpart.
  others = {'plain', 'adversarial'}
  assert {name for name in rows if 'arms' in rows[name]} == others | {
    f'{arm}, 3,000 steps' for arm in others
  }
  assert robust_config.columns('ablation') == [
    'ap50',
    'ap50@1/255',
    'ap50@4/255',
  ]


@pytest.mark.parametrize(
  'variant, name', [('', 'ap50'), ('table4', 'ap50'), ('palms', 'eer')]
)
def test_a_sweep_shows_the_metric_of_its_task(variant, name):
  radii = robust_config.get_config(variant).attack.radii
  assert robust_config.columns(variant) == [
    name,
    *(f'{name}@{radius}/255' for radius in radii),
    *{
      'ap50': (
        'ap50@corruptions',
        'ap50 - plain',
        'ap50@4/255 - plain',
        'ap50@4/255 - adversarial',
      ),
      'eer': ('eer@1/255 - adversarial',),
    }[name],
  ]


def test_a_start_of_another_kind_is_refused():
  config = robust_config.get_config()
  config.start = str(shipped.PALM)
  with pytest.raises(ValueError, match='hand detector') as caught:
    training.read_start(config, ('five',))
  assert '\n' not in str(caught.value)


def test_a_start_with_other_classes_is_refused():
  config = robust_config.get_config()
  with pytest.raises(
    ValueError,
    match=r"tells .* the data has cat: give .*--config\.start='' for ran",
  ):
    training.read_start(config, ('cat',))


def test_the_start_is_the_shipped_detector_unless_stated():
  config = robust_config.get_config()
  shipped_network = hand_networks.load(shipped.HAND)
  start = training.read_start(config, hands.GESTURES)
  assert start.description == shipped_network.description
  jax.tree.map(
    np.testing.assert_array_equal, start.network.params, shipped_network.params
  )
  # Its weights may go on in another precision.
  config.dtype = 'bfloat16'
  start = training.read_start(config, hands.GESTURES)
  assert start.description['dtype'] == 'bfloat16'
  config.start = ''
  assert training.read_start(config, hands.GESTURES).network is None

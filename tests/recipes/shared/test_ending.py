"""What ends trainings of recipes, from the key of a config to the report."""

import functools
import json

import jax
import numpy as np
import pytest

from configs import gesture as gesture_config
from configs import metric as metric_config
from configs import ssl as ssl_config
from palmjax.engine import logs, stop
from palmjax.engine import mesh as meshes
from palmjax.recipes.gesture import checks as gesture_checks
from palmjax.recipes.gesture import recipe as gesture_recipe
from palmjax.recipes.metric import checks as metric_checks
from palmjax.recipes.metric import recipe as metric_recipe
from palmjax.recipes.shared import ending, hand_images, palm_images
from palmjax.recipes.ssl import checks as ssl_checks

RECIPES = {
  'ssl': (ssl_config, ssl_checks.check),
  'metric': (metric_config, metric_checks.check),
  'gesture': (
    gesture_config,
    functools.partial(gesture_checks.check, arms=gesture_recipe.ARMS),
  ),
}


def section(**changes):
  config = metric_config.get_config('smoke')
  config.stop.update(changes)
  return config.stop


def test_a_default_config_has_no_rule():
  assert ending.rules(section(), epoch_steps=7) == ()
  assert ending.share(metric_config.get_config()) == 0


def test_rules_are_those_of_the_section():
  rules = ending.rules(
    section(measure='d_prime', delta=0.25, patience=4, loss=0.5), epoch_steps=7
  )
  assert rules == (
    stop.Plateau('held_out/d_prime', delta=0.25, patience=4, mode='max'),
    stop.Threshold('loss', 0.5, epoch_steps=7),
  )
  (rule,) = ending.rules(section(measure='eer'), epoch_steps=7)
  assert rule.mode == 'min'


@pytest.mark.parametrize(
  'sizes, steps', [((48, 16), 3), ((49, 16), 4), ((3, 16), 1)]
)
def test_an_epoch_uses_every_example(sizes, steps):
  assert ending.epoch_steps(*sizes) == steps


@pytest.mark.parametrize(
  'changes, message',
  [
    ({'measure': 'ap'}, r'--config\.stop\.measure=ap: choose one of eer, d_'),
    ({'delta': -0.5}, r'--config\.stop\.delta=-0\.5: give 0 or more'),
    ({'patience': 0}, r'--config\.stop\.patience=0: give 1 or more'),
    ({'every': 0}, r'--config\.stop\.every=0: give 1 or more'),
    (
      {'measure': 'eer', 'share': 1.0},
      r'--config\.stop\.share=1\.0: give a sh',
    ),
  ],
)
def test_sections_that_end_nothing_are_refused(changes, message):
  config = metric_config.get_config('smoke')
  config.stop.update(changes)
  with pytest.raises(ValueError, match=message):
    ending.check(config, ('eer', 'd_prime'), ('cnn',))


@pytest.mark.parametrize(
  'recipe, section, stops',
  [
    ('ssl', 'cnn', {'measure': 'eer'}),
    ('metric', 'cnn', {'loss': 0.5}),
    ('gesture', 'train', {'measure': 'loss'}),
    ('gesture', 'palm_frame', {'measure': 'loss'}),
  ],
)
def test_a_rate_that_needs_a_known_end_is_refused(recipe, section, stops):
  module, checks = RECIPES[recipe]
  config = module.get_config('smoke')
  for name in ('cnn', 'train', 'palm_frame'):
    if name in config:
      config[name].schedule = 'constant'
  config.stop.update(stops)
  checks(config, meshes.make(1))
  config[section].schedule = 'cosine'
  ((key, value),) = stops.items()
  with pytest.raises(
    ValueError,
    match=rf'--config\.stop\.{key}={value} .*--config\.{section}\.schedule=cos',
  ) as caught:
    checks(config, meshes.make(1))
  assert '\n' not in str(caught.value)
  config.stop.update({'measure': '', 'loss': 0.0})
  checks(config, meshes.make(1))


def test_the_held_out_loss_is_the_mean_of_images():
  """Five examples in batches of 2: of the first four."""
  held_out = {'image': np.array([1.0, 3.0, 5.0, 7.0, 20.0], np.float32)}
  keys = []

  def loss(params, stats, batch, key):
    keys.append(key)
    return params * batch['image'].mean()

  made = ending.by_loss(
    section(measure='eer').copy_and_resolve_references(),
    loss,
    training={'image': np.zeros(8)},
    held_out=held_out,
    batch_size=2,
  )

  class State:
    params, stats = np.float32(2.0), None

  state = State()
  for _ in range(2):
    same, metrics = made['evals'](state, 5)
    assert same is state
    assert metrics == {'held_out/loss': pytest.approx(2 * 16 / 4)}
  assert len(keys) == 1  # One compilation.


@pytest.mark.slow
def test_held_out_palms_are_of_nobody_else():
  config = metric_config.get_config('smoke')
  config.labelled.identities = config.labelled.images = 0
  plain = palm_images.load(config, jax.random.key(0))
  assert plain.validation is None
  config.stop.measure = 'eer'
  config.stop.share = 0.4
  split = palm_images.load(config, jax.random.key(0))
  names = [
    set(part.identities)
    for part in (split.labelled, split.validation, split.evaluation)
  ]
  assert sum(map(len, names)) == len(set.union(*names)) == 24
  assert names[0] | names[1] == set(plain.labelled.identities)
  assert names[2] == set(plain.evaluation.identities)
  assert len(split.validation.images) == 4 * len(names[1])
  assert split.fingerprint != plain.fingerprint


@pytest.mark.slow
def test_held_out_hands_are_not_trained_on(tmp_path):
  config = gesture_config.get_config('smoke')
  plain = hand_images.load(config, jax.random.key(0), tmp_path)
  assert plain.held_out is None
  config.stop.measure = 'loss'
  config.stop.share = 0.25
  split = hand_images.load(config, jax.random.key(0), tmp_path)
  images = [part['image'] for part in (split.training, split.held_out)]
  assert [len(part) for part in images] == [18, 6]
  rows = {row.tobytes() for part in images for row in part}
  assert rows == {row.tobytes() for row in plain.training['image']}
  assert split.held_out.keys() == split.training.keys()
  assert split.fingerprint != plain.fingerprint


@pytest.mark.parametrize(
  'changes, step, reason',
  [
    # 48 images in batches of 16: met at once, after an epoch.
    ({'loss': 100.0}, 3, 'threshold'),
    # The second evaluation cannot be that much better than the first.
    (
      {'measure': 'd_prime', 'delta': 99.0, 'patience': 1, 'every': 2},
      4,
      'converged',
    ),
  ],
)
@pytest.mark.slow
def test_a_run_says_why_it_ended(tmp_path, changes, step, reason):
  config = metric_config.get_config('smoke')
  config.labelled.identities = config.labelled.images = 0
  config.cnn.schedule = 'plateau'
  config.evaluation.occlusion = (0.0,)
  config.stop.update({'share': 0.4, **changes})
  if not config.stop.measure:
    config.labelled.identities, config.labelled.images = 12, 4
  metric_recipe.run(config, tmp_path)
  lines = logs.read(tmp_path / 'metrics.jsonl')
  assert lines[-1]['step'] == step
  done = json.loads((tmp_path / 'network/DONE.json').read_text())
  assert done['metrics']['ended'] == reason
  model = json.loads((tmp_path / 'network/export/model.json').read_text())
  assert model['model']['ended'] == reason
  results = json.loads((tmp_path / 'metrics.json').read_text())
  assert results['ended'] == {'network': reason}
  assert f'>{reason}<' in (tmp_path / 'report.html').read_text()
  assert list((tmp_path / 'network/ckpt').glob(f'{step}*'))

"""Refuses settings of a hand detector that fail late or do nothing."""

from palmjax.models import detector
from palmjax.recipes.shared import (
  config_keys,
  ending,
  hand_images,
  hand_settings,
  hand_training,
  palm_training,
)

_AT_LEAST = {
  'image_size': detector.STRIDE,
  'data.images': 0,
  'data.repeat': 1,
  'train.batch_size': 1,
  'train.steps': 1,
  'train.ckpt_every': 1,
  'evaluation.resamples': 1,
}
_CHOICES = {
  'data.name': hand_images.NAMES,
  'data.bad': ('clip', 'refuse'),
  'dtype': palm_training.DTYPES,
  'loss.radius': ('published', 'fixed'),
  'loss.cells': (1, 9),
}


def check_settings(config, *, arms, trained):
  """Checks arms, images and numbers of a config, before those of a recipe.

  Args:
    config: of configs/gesture.py or configs/robust.py.
    arms: names of the arms that there are.
    trained: names of the sections that say how a training goes on.

  Raises:
    ValueError: names the key and what it may be.
  """
  config_keys.check_numbers(config)
  config_keys.check_least(config, _AT_LEAST)
  config_keys.check_choices(config, _CHOICES)
  ending.check(config, hand_training.MEASURES, trained)
  config_keys.check_arms(config, arms)
  if config.image_size % detector.STRIDE:
    raise ValueError(
      f'--config.image_size={config.image_size}: give a multiple of '
      f'{detector.STRIDE}'
    )
  config_keys.check_folder(config.data, 'hands', 'yolo, voc or coco')
  if config.data.name == 'hands':
    config_keys.check_least(
      config, {'data.images': 1, 'data.evaluation_images': 1}
    )
    if config.data.repeat > 1:
      raise ValueError(
        f'--config.data.repeat={config.data.repeat} repeats the images of a '
        'folder: give --config.data.name and --config.data.dir'
      )
  elif not config.data.dir:
    raise ValueError(
      f'--config.data.name={config.data.name} needs --config.data.dir=DIR'
    )
  config_keys.check_shares(config, ('data.difficulty', 'data.palms'))
  if not 0 <= config.batch_norm_momentum < 1:
    raise ValueError(
      f'--config.batch_norm_momentum={config.batch_norm_momentum}: give 0 or '
      'more and less than 1'
    )


def check_training(config, mesh, *, trained):
  """Checks augmentation, optimisers and sizes of batches.

  Args:
    config, trained: as of `check_settings`.
    mesh: devices of the run.

  Raises:
    ValueError: names the key and what it may be.
  """
  with config_keys.named('augment'):
    hand_settings.augmentation(config)
  for name in trained:
    with config_keys.named(name):
      hand_settings.optimiser(config[name])
    if config[name].batch_size % mesh.size:
      raise ValueError(
        f'--config.{name}.batch_size={config[name].batch_size} does not '
        f'divide over {mesh.size} devices; use a multiple of {mesh.size}'
      )

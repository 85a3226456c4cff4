"""Refuses settings of the recipe `gesture` that fail late or do nothing."""

from palmjax.models import detector
from palmjax.models import palm_frame as frame_reader
from palmjax.recipes.gesture import palm_frame as palm_frame_stage
from palmjax.recipes.shared import (
  config_keys,
  ending,
  hand_images,
  hand_settings,
  hand_training,
  palm_training,
)
from palmjax.steps import two_teachers

_AT_LEAST = {
  'image_size': detector.STRIDE,
  'resolution.factor': 1,
  'resolution.level': 1,
  'data.images': 0,
  'data.repeat': 1,
  'student.depth': 0,
  'teacher1.depth': 0,
  'teachers.steps': 0,
  'train.batch_size': 1,
  'train.steps': 1,
  'train.ckpt_every': 1,
  'palm_frame.steps': 0,
  'palm_frame.image_size': frame_reader.STRIDE,
  'palm_frame.batch_size': 1,
  'palm_frame.ckpt_every': 1,
  'evaluation.resamples': 1,
}
_CHOICES = {
  'data.name': hand_images.NAMES,
  'data.bad': ('clip', 'refuse'),
  'dtype': palm_training.DTYPES,
  'loss.form': ('plain', 'relative', 'attention'),
  'loss.below': ('pool', 'skip'),
  'loss.radius': ('published', 'fixed'),
  'loss.cells': (1, 9),
}


def check(config, mesh, *, arms):
  """Checks a config before anything is drawn, read or trained.

  Args:
    config: of configs/gesture.py.
    mesh: devices of the run.
    arms: {arm: its teachers}.

  Raises:
    ValueError: names the key and what it may be.
  """
  config_keys.check_numbers(config)
  config_keys.check_least(config, _AT_LEAST)
  ending.check(config, hand_training.MEASURES, _trained(config))
  for key, choices in _CHOICES.items():
    value = config_keys.get(config, key)
    if value not in choices:
      raise ValueError(
        f'--config.{key}={value}: choose one of {", ".join(map(str, choices))}'
      )
  if not config.arms or not set(config.arms) <= set(arms):
    raise ValueError(
      f'--config.arms={tuple(config.arms)}: choose from {tuple(arms)}'
    )
  taught = any(arms[arm] for arm in config.arms)
  if taught and config.resolution.factor < 2:
    raise ValueError(
      '--config.resolution.factor=1: teacher 2 needs images at least 2 times '
      'as large'
    )
  if config.teachers.steps and not taught:
    raise ValueError(
      f'--config.teachers.steps={config.teachers.steps}: no arm has a teacher; '
      'give --config.arms, or steps 0'
    )
  if config.resolution.level > len(detector.DOWN):
    raise ValueError(
      f'--config.resolution.level={config.resolution.level}: give 1 to '
      f'{len(detector.DOWN)}'
    )
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
  if config.data.images:
    config_keys.check_least(config, {'data.evaluation_images': 1})
  elif config.data.palms:
    raise ValueError(
      f'--config.data.palms={config.data.palms} is a share of --config.data.'
      'images, of which there are none'
    )
  config_keys.check_above(
    config, ('student.width', 'teacher1.width', 'palm_frame.width')
  )
  config_keys.check_shares(
    config, ('data.difficulty', 'data.palms', 'evaluation.score')
  )
  weights = (config.loss.truth, *config.loss.teachers)
  if len(weights) != 3 or min(weights) < 0:
    raise ValueError(
      f'--config.loss.teachers={tuple(config.loss.teachers)}: give two weights '
      'of 0 or more, and --config.loss.truth of 0 or more'
    )
  given = dict(zip(two_teachers.TEACHERS, config.loss.teachers, strict=True))
  for arm in config.arms:
    if arms[arm] and not (
      config.loss.truth or any(given[name] for name in arms[arm])
    ):
      raise ValueError(
        f'{arm} learns from nothing: give --config.loss.truth or the weight of '
        'its teacher in --config.loss.teachers'
      )
  if not 1 <= config.data.detail <= 2:
    raise ValueError(
      f'--config.data.detail={config.data.detail}: give a number from 1 to 2'
    )
  if config.data.detail > 1 and not config.augment.closer:
    raise ValueError(
      f'--config.data.detail={config.data.detail} is for closer looks: give '
      '--config.augment.closer, or detail 1'
    )
  section = config.palm_frame
  if section.image_size % frame_reader.STRIDE:
    raise ValueError(
      f'--config.palm_frame.image_size={section.image_size}: give a multiple '
      f'of {frame_reader.STRIDE}'
    )
  if section.steps and not config.data.images:
    raise ValueError(
      f'--config.palm_frame.steps={section.steps} needs drawn hands, whose '
      'palm frames are known: give --config.data.images, or steps 0'
    )
  if not 0 <= config.batch_norm_momentum < 1:
    raise ValueError(
      f'--config.batch_norm_momentum={config.batch_norm_momentum}: give 0 or '
      'more and less than 1'
    )
  with config_keys.named('augment'):
    hand_settings.augmentation(config)
  with config_keys.named('palm_frame'):
    palm_frame_stage.crops(config)
  for name in _trained(config):
    with config_keys.named(name):
      hand_settings.optimiser(config[name])
    if config[name].batch_size % mesh.size:
      raise ValueError(
        f'--config.{name}.batch_size={config[name].batch_size} does not '
        f'divide over {mesh.size} devices; use a multiple of {mesh.size}'
      )
  with config_keys.named('teachers'):
    hand_settings.optimiser(hand_settings.of_teachers(config))


def _trained(config):
  """The sections that say how a training goes on."""
  return ('train', 'palm_frame') if config.palm_frame.steps else ('train',)

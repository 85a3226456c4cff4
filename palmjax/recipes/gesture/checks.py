"""Refuses settings of the recipe `gesture` that fail late or do nothing."""

from palmjax.models import detector
from palmjax.models import palm_frame as frame_reader
from palmjax.recipes.gesture import palm_frame as palm_frame_stage
from palmjax.recipes.shared import config_keys, hand_checks, hand_settings
from palmjax.steps import two_teachers

_AT_LEAST = {
  'resolution.factor': 1,
  'resolution.level': 1,
  'student.depth': 0,
  'teacher1.depth': 0,
  'teachers.steps': 0,
  'palm_frame.steps': 0,
  'palm_frame.image_size': frame_reader.STRIDE,
  'palm_frame.batch_size': 1,
  'palm_frame.ckpt_every': 1,
}
_CHOICES = {
  'loss.form': ('plain', 'relative', 'attention'),
  'loss.below': ('pool', 'skip'),
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
  trained = _trained(config)
  hand_checks.check_settings(config, arms=arms, trained=trained)
  config_keys.check_least(config, _AT_LEAST)
  config_keys.check_choices(config, _CHOICES)
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
  config_keys.check_shares(config, ('evaluation.score',))
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
  hand_checks.check_training(config, mesh, trained=trained)
  with config_keys.named('palm_frame'):
    palm_frame_stage.crops(config)
  with config_keys.named('teachers'):
    hand_settings.optimiser(hand_settings.of_teachers(config))


def _trained(config):
  """The sections that say how a training goes on."""
  return ('train', 'palm_frame') if config.palm_frame.steps else ('train',)

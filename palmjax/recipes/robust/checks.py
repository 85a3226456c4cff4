"""Refuses settings of the recipe `robust` that fail late or do nothing."""

from palmjax.models import detector
from palmjax.recipes.robust import training
from palmjax.recipes.shared import (
  config_keys,
  ending,
  hand_images,
  hand_settings,
  hand_training,
  palm_training,
)
from palmjax.steps import perturbed_tasks, robust

_AT_LEAST = {
  'image_size': detector.STRIDE,
  'data.images': 0,
  'data.repeat': 1,
  'detector.depth': 0,
  'train.batch_size': 1,
  'train.steps': 1,
  'train.ckpt_every': 1,
  'train.weight': 0,
  'perturb.num_steps': 1,
  'perturb.replays': 1,
  'perturb.solver_iterations': 1,
  'perturb.solver_tolerance': 0,
  'attack.steps': 1,
  'attack.restarts': 1,
  'attack.queries': 1,
  'attack.batch_size': 1,
  'attack.images': 1,
  'evaluation.resamples': 1,
}
_CHOICES = {
  'data.name': hand_images.NAMES,
  'data.bad': ('clip', 'refuse'),
  'dtype': palm_training.DTYPES,
  'loss.radius': ('published', 'fixed'),
  'loss.cells': (1, 9),
  'perturb.vector': perturbed_tasks.DETECTOR_VECTORS,
  'perturb.solver': training.SOLVERS,
  'train.statistics': robust.STATISTICS,
}


def check(config, mesh):
  """Checks a config before anything is drawn, read or trained.

  Args:
    config: of configs/robust.py.
    mesh: devices of the run.

  Raises:
    ValueError: names the key and what it may be.
  """
  config_keys.check_numbers(config)
  config_keys.check_least(config, _AT_LEAST)
  ending.check(config, hand_training.MEASURES, ('train',))
  for key, choices in _CHOICES.items():
    value = config_keys.get(config, key)
    if value not in choices:
      raise ValueError(
        f'--config.{key}={value}: choose one of {", ".join(map(str, choices))}'
      )
  if not config.arms or not set(config.arms) <= set(training.ARMS):
    raise ValueError(
      f'--config.arms={tuple(config.arms)}: choose from {tuple(training.ARMS)}'
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
  elif not config.data.dir:
    raise ValueError(
      f'--config.data.name={config.data.name} needs --config.data.dir=DIR'
    )
  config_keys.check_above(
    config, ('detector.width', 'perturb.step_size', 'perturb.solver_epsilon')
  )
  config_keys.check_shares(
    config, ('perturb.epsilon', 'data.difficulty', 'data.palms')
  )
  radii = tuple(config.attack.radii)
  if (
    not radii
    or list(radii) != sorted(set(radii))
    or not (radii[0] > 0 and radii[-1] <= 255)
  ):
    raise ValueError(
      f'--config.attack.radii={radii}: give rising grey levels from above 0 to '
      '255'
    )
  if config.data.detail != 1 or config.augment.closer:
    raise ValueError(
      f'--config.data.detail={config.data.detail}, --config.augment.closer='
      f'{config.augment.closer}: perturbed images are seen whole; give 1 and 0'
    )
  if not 0 <= config.batch_norm_momentum < 1:
    raise ValueError(
      f'--config.batch_norm_momentum={config.batch_norm_momentum}: give 0 or '
      'more and less than 1'
    )
  with config_keys.named('augment'):
    hand_settings.augmentation(config)
  with config_keys.named('train'):
    hand_settings.optimiser(config.train)
  with config_keys.named('perturb'):
    for arm in config.arms:
      training.perturbation(config, arm)
  if config.train.batch_size % mesh.size:
    raise ValueError(
      f'--config.train.batch_size={config.train.batch_size} does not divide '
      f'over {mesh.size} devices; use a multiple of {mesh.size}'
    )

"""Refuses settings of the recipe `robust` that fail late or do nothing."""

from palmjax.recipes.robust import battery, statistics, training
from palmjax.recipes.shared import config_keys, hand_checks
from palmjax.steps import perturbed_tasks

_AT_LEAST = {'detector.depth': 0, 'train.weight': 0}
_CHOICES = {
  'perturb.vector': perturbed_tasks.DETECTOR_VECTORS,
  'train.statistics': statistics.OF_UPDATE,
}
# Of perturbations and attacks.
_ATTACKS_AT_LEAST = {
  'perturb.num_steps': 1,
  'perturb.replays': 1,
  'perturb.solver_iterations': 1,
  'perturb.solver_tolerance': 0,
  'attack.steps': 1,
  'attack.restarts': 1,
  'attack.queries': 1,
  'attack.targets': 1,
  'attack.batch_size': 1,
  'attack.images': 1,
}
TASKS = ('detect', 'recognise')
# The section that says how a training goes on.
_TRAINED = ('train',)


def task(config):
  """Returns the task of a config, of `TASKS`; another is a ValueError."""
  config_keys.check_choices(config, {'task': TASKS})
  return config.task


def check(config, mesh):
  """Checks a config before anything is drawn, read or trained.

  Args:
    config: of configs/robust.py.
    mesh: devices of the run.

  Raises:
    ValueError: names the key and what it may be.
  """
  hand_checks.check_settings(config, arms=training.ARMS, trained=_TRAINED)
  config_keys.check_least(config, _AT_LEAST)
  config_keys.check_choices(config, _CHOICES)
  config_keys.check_above(config, ('detector.width',))
  check_attacks(config, 'train')
  if config.data.detail != 1 or config.augment.closer:
    raise ValueError(
      f'--config.data.detail={config.data.detail}, --config.augment.closer='
      f'{config.augment.closer}: perturbed images are seen whole; give 1 and 0'
    )
  hand_checks.check_training(config, mesh, trained=_TRAINED)


def check_attacks(config, section):
  """Checks perturbations and attacks, which are alike for hands and palms.

  Args:
    config: with known `arms`, and with `start`, `perturb` and `attack`.
    section: name of the section with known `statistics` of the update.

  Raises:
    ValueError: names the key and what it may be.
  """
  if not config.start and config[section].statistics == 'running':
    raise ValueError(
      f'--config.{section}.statistics=running keeps mean 0 and variance 1 for '
      f"ever with the random weights of --config.start='': give "
      f'--config.{section}.statistics={statistics.AUTO}'
    )
  config_keys.check_least(config, _ATTACKS_AT_LEAST)
  config_keys.check_choices(
    config,
    {
      'perturb.solver': training.SOLVERS,
      'perturb.statistics': statistics.OF_ATTACK,
      'attack.battery': battery.BATTERIES,
    },
  )
  config_keys.check_above(
    config, ('perturb.step_size', 'perturb.solver_epsilon')
  )
  config_keys.check_shares(config, ('perturb.epsilon',))
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
  settled = statistics.settle(config, section)
  with config_keys.named('perturb'):
    for arm in config.arms:
      training.perturbation(settled, arm)

"""Refuses settings of the recipe `distill` that fail late or do nothing."""

from palmjax.losses import distillation
from palmjax.recipes.distill import replay, training
from palmjax.recipes.shared import (
  config_keys,
  ending,
  palm_start,
  palm_training,
  sections,
)

_AT_LEAST = {
  'image_size': 8,
  'labelled.identities': 0,
  'labelled.images': 0,
  'loss.margin': 0,
  'distill.logits_weight': 0,
  'distill.embeddings_weight': 0,
  'distill.unlabelled': 0,
  'student.network.exit': 0,
  'evaluation.resamples': 1,
  'device.sessions': 1,
  'device.failures': 1,
  'device.enough': 1,
  'device.steps': 1,
  'device.set_size': 1,
  'device.batch_size': 1,
  'device.alpha': 0,
  'device.beta': 0,
}
_ABOVE_0 = (
  'loss.scale',
  'device.learning_rate',
  'device.days',
  'device.period',
)
_OF_EACH = {
  'network.embedding_size': 1,
  'cnn.batch_size': 2,
  'cnn.steps': 1,
  'cnn.ckpt_every': 1,
}


def check(config, mesh):
  """Checks a config before anything is drawn, read or trained.

  Args:
    config: of configs/distill.py.
    mesh: devices of the run.

  Raises:
    ValueError: names the key and what it may be.
  """
  config_keys.check_numbers(config)
  config_keys.check_least(config, _AT_LEAST)
  config_keys.check_folder(config.data, 'palms', 'folder, or of a prepared set')
  config_keys.check_above(config, _ABOVE_0)
  config_keys.check_rates(
    config, ('evaluation_share', 'evaluation.fmrs', 'device.fmr')
  )
  drifts = (f'device.drift.{name}' for name in config.device.drift)
  config_keys.check_shares(config, ('data.difficulty', *drifts))
  _check_device(config.device)
  ending.check(config, palm_training.MEASURES, ('teacher.cnn', 'student.cnn'))
  with config_keys.named('distill'):
    distillation.check_temperature(config.distill.temperature)
  for name in (training.TEACHER, training.STUDENT):
    with sections.named(config, name):
      _check_network(sections.of(config, name), mesh)
      network = training.of_network(config, name)
      palm_training.check_network(network)
      if name == training.TEACHER:
        palm_start.check(network)
  sizes = [
    config[name].network.embedding_size
    for name in (training.TEACHER, training.STUDENT)
  ]
  if config.distill.unlabelled % mesh.size:
    raise ValueError(
      f'--config.distill.unlabelled={config.distill.unlabelled} does not '
      f'divide over {mesh.size} devices; use a multiple of {mesh.size}'
    )
  if sizes[0] != sizes[1]:
    raise ValueError(
      f'--config.student.network.embedding_size={sizes[1]}: the teacher has '
      f'{sizes[0]}; give both the same, for their embeddings are compared'
    )


def _check_device(device):
  with config_keys.named('device'):
    distillation.check_temperature(device.temperature)
  if not set(device.arms) <= set(replay.ARMS):
    raise ValueError(
      f'--config.device.arms={tuple(device.arms)}: choose from '
      f'{tuple(replay.ARMS)}'
    )
  lo, hi = device.interval
  if not 0 <= lo < hi < 1:
    raise ValueError(
      f'--config.device.interval={tuple(device.interval)}: give 0 <= lo < hi '
      '< 1'
    )


def _check_network(config, mesh):
  config_keys.check_least(config, _OF_EACH)
  config_keys.check_above(config, ('network.width',))
  with config_keys.named('cnn'):
    palm_training.optimiser(config.cnn)
  if config.cnn.batch_size % mesh.size:
    raise ValueError(
      f'--config.cnn.batch_size={config.cnn.batch_size} does not divide over '
      f'{mesh.size} devices; use a multiple of {mesh.size}'
    )

"""Refuses settings of the recipe `metric` that fail late or do nothing."""

from palmjax.recipes.metric import class_shards
from palmjax.recipes.metric import losses as metric_losses
from palmjax.recipes.shared import (
  config_keys,
  ending,
  palm_source,
  palm_start,
  palm_training,
)

_AT_LEAST = {
  'image_size': 8,
  'cnn.identities': 2,
  'cnn.images': 1,
  'cnn.steps': 1,
  'cnn.ckpt_every': 1,
  'network.embedding_size': 1,
  'loss.margin': 0,
  'loss.triplet_margin': 0,
  'loss.class_shards': 1,
  'labelled.identities': 0,
  'labelled.images': 0,
  'evaluation.resamples': 1,
}
_ABOVE_0 = ('network.width', 'loss.scale')
_RATES = ('evaluation_share', 'evaluation.fmrs', 'evaluation.fpirs')
_SHARES = ('data.difficulty', 'evaluation.occlusion', 'loss.hard_share')


def check(config, mesh):
  """Checks a config before anything is drawn, read or trained.

  Args:
    config: of configs/metric.py.
    mesh: devices of the run.

  Raises:
    ValueError: names the key and what it may be.
  """
  config_keys.check_numbers(config)
  config_keys.check_least(config, _AT_LEAST)
  config_keys.check_folder(config.data, 'palms', 'folder, or of a prepared set')
  ending.check(config, palm_training.MEASURES, ('cnn',))
  config_keys.check_above(config, _ABOVE_0)
  config_keys.check_rates(config, _RATES)
  config_keys.check_shares(config, _SHARES)
  if 1 in config.evaluation.occlusion:
    raise ValueError(
      '--config.evaluation.occlusion=1: give shares from 0 to below 1'
    )
  if not all(isinstance(one, int) for one in config.loss.boundaries):
    raise ValueError(
      f'--config.loss.boundaries={config.loss.boundaries}: give steps'
    )
  if not all(isinstance(one, str) for one in config.evaluation.sets):
    raise ValueError(
      f'--config.evaluation.sets={config.evaluation.sets}: give folders, e.g. '
      "\"('DIR', 'DIR')\""
    )
  identities, images = config.labelled.identities, config.labelled.images
  if (identities > 0) != (images > 0):
    raise ValueError(
      f'--config.labelled.identities={identities} and images={images}: give '
      'two numbers above 0, or 0 and 0 to train on all'
    )
  palm_training.check_network(config)
  palm_start.check(config)
  class_shards.check(config.loss, mesh)
  with config_keys.named('cnn'):
    palm_training.optimiser(config.cnn)
  loss = config.loss.to_dict()
  with config_keys.named('loss'):
    metric_losses.losses(loss)
  if metric_losses.needs_triplets(loss) and config.cnn.images < 2:
    raise ValueError(
      f'--config.loss.name={loss["name"]} compares images of one identity: '
      'give --config.cnn.images of 2 or more'
    )
  if config.data.stream:
    if config.data.name not in palm_source.PREPARED:
      raise ValueError(
        f'--config.data.stream reads prepared sets, not {config.data.name}: '
        'use python -m palmjax.prepare, or leave it off'
      )
    if config.cnn.images > 1:
      raise ValueError(
        f'--config.cnn.images={config.cnn.images} needs batches by identity, '
        'which --config.data.stream does not give: use 1, or leave it off'
      )
  batch_size = config.cnn.identities * config.cnn.images
  if batch_size % mesh.size:
    raise ValueError(
      f'--config.cnn.identities × images = {batch_size} do not divide over '
      f'{mesh.size} devices; use a multiple of {mesh.size}'
    )

"""Refuses settings of the recipe `metric` that fail late or do nothing."""

from palmjax.recipes.metric import losses as metric_losses
from palmjax.recipes.shared import palm_images, palm_training

_AT_LEAST = {
  'log_every': 1,
  'cnn.identities': 2,
  'cnn.images': 1,
  'cnn.steps': 1,
  'cnn.ckpt_every': 1,
  'labelled.identities': 0,
  'labelled.images': 0,
  'evaluation.resamples': 1,
}
_SHARES = ('evaluation.fmrs', 'evaluation.fpirs')


def check(config, mesh):
  """Checks a config before anything is drawn, read or trained.

  Args:
    config: of configs/metric.py.
    mesh: devices of the run.

  Raises:
    ValueError: names the key and what it may be.
  """
  palm_training.check_least(config, _AT_LEAST)
  for key in _SHARES:
    for rate in palm_training.get(config, key):
      if not 0 < rate < 1:
        raise ValueError(f'--config.{key}={rate}: give rates between 0 and 1')
  for share in config.evaluation.occlusion:
    if not 0 <= share < 1:
      raise ValueError(
        f'--config.evaluation.occlusion={share}: give shares from 0 to below 1'
      )
  identities, images = config.labelled.identities, config.labelled.images
  if (identities > 0) != (images > 0):
    raise ValueError(
      f'--config.labelled.identities={identities} and images={images}: give '
      'two numbers above 0, or 0 and 0 to train on all'
    )
  palm_training.check_network(config)
  palm_training.optimiser(config.cnn)
  loss = config.loss.to_dict()
  metric_losses.losses(loss)
  if metric_losses.needs_triplets(loss) and config.cnn.images < 2:
    raise ValueError(
      f'--config.loss.name={loss["name"]} compares images of one identity: '
      'give --config.cnn.images of 2 or more'
    )
  if config.data.stream:
    if config.data.name not in palm_images.PREPARED:
      raise ValueError(
        f'--config.data.stream reads prepared sets, not {config.data.name}: '
        'use python -m palmjax.data.sets.prepared, or leave it off'
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

"""Refuses settings of the recipe `robust` with palms that cannot work."""

from palmjax.recipes.robust import checks as robust_checks
from palmjax.recipes.robust import statistics, training
from palmjax.recipes.shared import config_keys, ending, palm_training

_AT_LEAST = {
  'image_size': 8,
  'labelled.identities': 0,
  'labelled.images': 0,
  'network.embedding_size': 1,
  'loss.margin': 0,
  'cnn.batch_size': 2,
  'cnn.steps': 1,
  'cnn.ckpt_every': 1,
  'cnn.weight': 0,
  'evaluation.resamples': 1,
}
_CHOICES = {'cnn.statistics': statistics.OF_UPDATE}


def check(config, mesh):
  """Checks a config before anything is drawn, read or trained.

  Args:
    config: of `sections.of`.
    mesh: devices of the run.

  Raises:
    ValueError: names the key and what it may be.
  """
  config_keys.check_numbers(config)
  config_keys.check_least(config, _AT_LEAST)
  config_keys.check_choices(config, _CHOICES)
  config_keys.check_above(config, ('network.width', 'loss.scale'))
  config_keys.check_rates(config, ('evaluation_share', 'fmr'))
  config_keys.check_shares(config, ('data.difficulty',))
  config_keys.check_folder(config.data, 'palms', 'folder, or of a prepared set')
  ending.check(config, palm_training.MEASURES, ('cnn',))
  identities, images = config.labelled.identities, config.labelled.images
  if (identities > 0) != (images > 0):
    raise ValueError(
      f'--config.labelled.identities={identities} and images={images}: give '
      'two numbers above 0, or 0 and 0 to train on all'
    )
  config_keys.check_arms(config, training.ARMS)
  robust_checks.check_attacks(config, 'cnn')
  palm_training.check_network(config)
  with config_keys.named('cnn'):
    palm_training.optimiser(config.cnn)
  if config.cnn.batch_size % mesh.size:
    raise ValueError(
      f'--config.cnn.batch_size={config.cnn.batch_size} does not divide over '
      f'{mesh.size} devices; use a multiple of {mesh.size}'
    )

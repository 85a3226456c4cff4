"""Refuses settings of the recipe `ssl` that would fail late or do nothing."""

from palmjax.models import layers
from palmjax.recipes.shared import config_keys, ending, palm_training
from palmjax.recipes.ssl import gan as ssl_gan
from palmjax.steps.gan import updates

_AT_LEAST = {
  'image_size': 8,
  'labelled.identities': 2,
  'labelled.images': 1,
  'cnn.batch_size': 2,
  'cnn.steps': 1,
  'cnn.ckpt_every': 1,
  'cnn.margin': 0,
  'network.embedding_size': 1,
  'gan.batch_size': 1,
  'gan.steps': 1,
  'gan.eval_every': 1,
  'gan.ckpt_every': 1,
  'gan.patience': 1,
  # The unbiased kernel distance needs two halves of two images.
  'gan.eval_images': 4,
  'gan.latent_size': 1,
  'gan.mapping_layers': 1,
  'gan.fmap_max': 1,
  'gan.r1_gamma': 0,
  'gan.path_length_weight': 0,
  'gan.ada_hue': 0,
  'gan.ada_rotation': 0,
  'soft.images': 1,
  'soft.weight': 0,
  'evaluation.resamples': 1,
}
_ABOVE_0 = (
  'network.width',
  'cnn.scale',
  'gan.learning_rate',
  'gan.ada_kimg',
  'gan.ema_kimg',
  'soft.temperature',
  'soft.truncation',
)


def check(config, mesh):
  """Checks a config before anything is drawn, read or trained.

  Args:
    config: of configs/ssl.py.
    mesh: devices of the run.

  Raises:
    ValueError: names the key and what it may be.
  """
  config_keys.check_numbers(config)
  config_keys.check_least(config, _AT_LEAST)
  config_keys.check_folder(config.data, 'palms', 'folder, or of a prepared set')
  ending.check(config, palm_training.MEASURES, ('cnn',))
  config_keys.check_above(config, _ABOVE_0)
  config_keys.check_shares(
    config, ('data.difficulty', 'gan.style_mixing', 'gan.ada_limit')
  )
  config_keys.check_rates(config, ('evaluation_share', 'evaluation.fars'))
  if config.gan.images not in ('creases', 'photos'):
    raise ValueError(
      f'--config.gan.images={config.gan.images}: choose creases or photos'
    )
  palm_training.check_network(config)
  if config.gan.images == 'creases':
    creases = {'channels': 'grey', 'contrast': 'local'}
    if config.preprocess.to_dict() != creases:
      raise ValueError(
        '--config.gan.images=creases fits networks that see grey images with '
        'local contrast only: use --config.gan.images=photos'
      )
  palm_training.logits_fn(config.cnn.to_dict())
  _check_gan(config)
  with config_keys.named('cnn'):
    palm_training.optimiser(config.cnn)
  with config_keys.named('gan'):
    updates.schedule(
      updates.Steps(None, None, None, None),
      r1_interval=config.gan.r1_interval,
      path_length_interval=config.gan.path_length_interval,
      order=config.gan.order,
    )
  generated = generated_per_batch(config)
  if not 0 < generated < config.cnn.batch_size:
    raise ValueError(
      f'--config.soft.share={config.soft.share} of a batch of '
      f'{config.cnn.batch_size} leaves no labelled or no generated image: '
      'give a share between 0 and 1'
    )
  parts = {
    'cnn.batch_size': config.cnn.batch_size,
    'gan.batch_size': config.gan.batch_size,
    'soft.share: generated images a batch': generated,
  }
  for name, count in parts.items():
    if count % mesh.size:
      raise ValueError(
        f'--config.{name}: {count} do not divide over {mesh.size} devices; '
        f'use a multiple of {mesh.size}'
      )
  if config.labelled.identities * config.labelled.images < 4:
    raise ValueError(
      'the labelled budget has fewer than 4 images; raise '
      '--config.labelled.identities or --config.labelled.images'
    )


def generated_per_batch(config):
  """Number of generated images in a batch of CNN-2."""
  return round(config.soft.share * config.cnn.batch_size)


def _check_gan(config):
  palm_training.check_dtype(config, 'gan')
  sizes = layers.resolutions(config.image_size)
  if config.gan.fmap_base < 2 ** len(sizes):
    raise ValueError(
      f'--config.gan.fmap_base={config.gan.fmap_base} leaves layers without '
      f'channels at {config.image_size} px: give {2 ** len(sizes)} or more'
    )
  ssl_gan.networks(config)

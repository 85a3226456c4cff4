"""Refuses settings of the recipe `ssl` that would fail late or do nothing."""

from palmjax.models import layers
from palmjax.recipes.shared import palm_training
from palmjax.recipes.ssl import gan as ssl_gan
from palmjax.steps.gan import updates

_AT_LEAST = {
  'log_every': 1,
  'labelled.identities': 2,
  'labelled.images': 1,
  'cnn.batch_size': 2,
  'cnn.steps': 1,
  'cnn.ckpt_every': 1,
  'gan.batch_size': 1,
  'gan.steps': 1,
  'gan.eval_every': 1,
  'gan.ckpt_every': 1,
  'gan.patience': 1,
  # The unbiased kernel distance needs two halves of two images.
  'gan.eval_images': 4,
  'gan.latent_size': 1,
  'gan.mapping_layers': 1,
  'soft.images': 1,
  'soft.weight': 0,
  'evaluation.resamples': 1,
}


def check(config, mesh):
  """Checks a config before anything is drawn, read or trained.

  Args:
    config: of configs/ssl.py.
    mesh: devices of the run.

  Raises:
    ValueError: names the key and what it may be.
  """
  palm_training.check_least(config, _AT_LEAST)
  _check_rates(config)
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
  palm_training.optimiser(config.cnn)
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
  """How many images of a batch of CNN-2 are generated."""
  return round(config.soft.share * config.cnn.batch_size)


def _check_gan(config):
  palm_training.check_dtype(config, 'gan')
  sizes = layers.resolutions(config.image_size)
  if config.gan.fmap_base < 2 ** len(sizes):
    raise ValueError(
      f'--config.gan.fmap_base={config.gan.fmap_base} leaves layers without '
      f'channels at {config.image_size} px: give {2 ** len(sizes)} or more'
    )
  for name in ('ada_kimg', 'ema_kimg'):
    if config.gan[name] <= 0:
      raise ValueError(
        f'--config.gan.{name}={config.gan[name]}: give more than 0'
      )
  if not 0 <= config.gan.style_mixing <= 1:
    raise ValueError(
      f'--config.gan.style_mixing={config.gan.style_mixing}: give a '
      'probability, 0 to 1'
    )
  ssl_gan.networks(config)


def _check_rates(config):
  for far in config.evaluation.fars:
    if not 0 < far < 1:
      raise ValueError(
        f'--config.evaluation.fars={far}: give rates between 0 and 1'
      )
  if config.soft.temperature <= 0:
    raise ValueError(
      f'--config.soft.temperature={config.soft.temperature}: give more than 0'
    )

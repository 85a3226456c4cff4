"""The state of a GAN before its first update.

{'generator': TrainState, 'discriminator': TrainState, 'ada': {...},
'path_length': running mean}; `step` of either network counts its main updates.
"""

import jax
import jax.numpy as jnp

from palmjax.engine import state as train_state
from palmjax.steps.gan import ada


def create_state(
  generator, discriminator, generator_tx, discriminator_tx, batch, key
):
  """Initial state of a GAN: generator, discriminator, ADA at p = 0.

  Args:
    generator: generator module.
    discriminator: discriminator module.
    generator_tx: optax transformation, as for `updates.make_steps`.
    discriminator_tx: optax transformation, as for `updates.make_steps`.
    batch: {'image': [B, H, W, C]}; only the shape is used.
    key: random key.

  Returns:
    The state described at the top of the module.
  """
  generator_key, noise_key, discriminator_key = jax.random.split(key, 3)
  z = jnp.zeros((1, generator.latent_size))
  images = jnp.zeros((1, *batch['image'].shape[1:]))
  stats = train_state.initialise(
    generator.init, {'params': generator_key, 'noise': noise_key}, z
  )
  params = stats.pop('params')
  variables = train_state.initialise(
    discriminator.init, discriminator_key, images
  )
  return {
    'generator': train_state.create(params, stats, generator_tx, ema=True),
    'discriminator': train_state.create(
      variables['params'], {}, discriminator_tx
    ),
    'ada': ada.create_state(),
    'path_length': jnp.zeros(()),
  }

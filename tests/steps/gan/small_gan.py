"""A GAN of 8 px and its updates."""

import jax
import jax.numpy as jnp
import numpy as np

from palmjax.engine import optim
from palmjax.models import discriminator as discriminator_lib
from palmjax.models import generator as generator_lib
from palmjax.steps.gan import networks, updates

SIZE, BATCH = 8, 4
GENERATOR = generator_lib.Generator(
  SIZE, latent_size=4, mapping_layers=1, fmap_base=16, fmap_max=4
)
DISCRIMINATOR = discriminator_lib.Discriminator(SIZE, fmap_base=16, fmap_max=4)
KEY = jax.random.key(42)


def plain(key, images, p):
  """No augmentation."""
  del key, p
  return images


def make(
  augment=plain,
  generator=GENERATOR,
  discriminator=DISCRIMINATOR,
  txs=None,
  **options,
):
  """Steps, and a function that makes a fresh state for them."""
  txs = txs or (
    optim.lazy_adam(0.002, b1=0.0, b2=0.99, interval=4),
    optim.lazy_adam(0.002, b1=0.0, b2=0.99, interval=16),
  )
  options = {'r1_gamma': 0.1, **options}
  steps = updates.make_steps(
    generator, discriminator, *txs, augment=augment, **options
  )

  def fresh():
    key = jax.random.key(0)
    return networks.create_state(GENERATOR, DISCRIMINATOR, *txs, batch(), key)

  return steps, fresh


def jit(step, **options):
  # Unoptimised code compiles several times as fast.
  fast = {'xla_backend_optimization_level': 0}
  return jax.jit(step, compiler_options=fast, **options)


def batch(seed=0):
  rng = np.random.default_rng(seed)
  image = rng.integers(0, 256, (BATCH, SIZE, SIZE, 3), dtype=np.uint8)
  return {'image': jnp.asarray(image)}

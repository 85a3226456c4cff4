"""Training steps of the default run."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from configs import ssl as ssl_config
from launch.bench import timing
from palmjax.data.augment import palms as palm_augment
from palmjax.engine import mesh as meshes
from palmjax.losses import metric
from palmjax.models import heads
from palmjax.recipes.shared import palm_training
from palmjax.recipes.ssl import gan as ssl_gan
from palmjax.steps import classify


def run(args):
  """A step of recognition, and the four updates of the GAN."""
  config = ssl_config.get_config()
  config.image_size = args.size or 32
  mesh = meshes.make(1)
  recognition(config, mesh, args.repeats)
  gan(config, mesh, args.repeats)


def recognition(config, mesh, repeats):
  """A training step of the recognition network."""
  model, spec = palm_training.build(config)
  batch_size = config.cnn.batch_size
  tx = palm_training.optimiser(config.cnn)
  state = classify.create_state(
    model,
    tx,
    jax.random.key(0),
    input_shape=spec.shape,
    head=heads.init_head(
      jax.random.key(2), config.labelled.identities, model.embedding_size
    ),
  )
  step = meshes.jit_step(
    classify.make_step(
      model,
      tx,
      logits_fn=metric.softmax_logits,
      preprocess=spec.apply,
      augment=palm_augment.make_augment(**config.augment.to_dict()),
    ),
    mesh,
    donate=False,
  )
  batch = {
    'image': _images(batch_size, config.image_size),
    'label': jnp.zeros(batch_size, jnp.int32),
  }
  seconds = timing.best_of(
    lambda: step(state, None, batch, jax.random.key(1)), repeats
  )
  timing.report(f'recognition, {config.image_size} px', seconds, batch_size)


def gan(config, mesh, repeats):
  """The four updates of the GAN."""
  _, state, steps = ssl_gan.build(config, jax.random.key(0))
  batch_size = config.gan.batch_size
  batch = {'image': _images(batch_size, config.image_size)}
  for name, step in steps._asdict().items():
    step = meshes.jit_step(step, mesh, donate=False)
    update = functools.partial(step, state, None, batch, jax.random.key(1))
    timing.report(
      f'gan {name}, {config.image_size} px',
      timing.best_of(update, repeats),
      batch_size,
    )


def _images(count, size):
  shape = (count, size, size, 3)
  return np.random.default_rng(0).integers(0, 256, shape, np.uint8)

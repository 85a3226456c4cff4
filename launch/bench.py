"""Times what the CPU default does most; prints one line each.

python -m launch.bench [--size=32] [--repeats=5]

Machines differ and are shared: compare lines of one run with each other, and
trust the best of several repeats.
"""

import functools
import time

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags

from configs import ssl as ssl_config
from palmjax.data.augment import palms as palm_augment
from palmjax.data.palms import palms
from palmjax.engine import allocator
from palmjax.engine import mesh as meshes
from palmjax.evals.recognition import streaming
from palmjax.losses import metric
from palmjax.models import heads
from palmjax.recipes.shared import palm_training
from palmjax.recipes.ssl import gan as ssl_gan
from palmjax.steps import classify

_SIZE = flags.DEFINE_integer('size', 32, 'Side of the images of the networks.')
_REPEATS = flags.DEFINE_integer('repeats', 5, 'The best of so many counts.')


def best_of(function, repeats):
  """(seconds of the first call, fewest seconds of a later one)."""
  times = []
  for _ in range(repeats + 1):
    start = time.perf_counter()
    jax.block_until_ready(function())
    times.append(time.perf_counter() - start)
  return times[0], min(times[1:])


def report(name, seconds, count, unit='images'):
  first, later = seconds
  print(
    f'{name:28} {1e3 * later:9.1f} ms  {count / later:9.1f} {unit}/s  '
    f'first call {first:6.1f} s',
    flush=True,
  )


def drawing(repeats):
  """Drawing palms at 112 px: the goal is 100 images/s on 2 cores."""
  numbers = jnp.arange(64)
  draw = functools.partial(
    palms.draw_batch, jax.random.key(0), numbers, numbers, size=112
  )
  report('palms, 112 px', best_of(draw, repeats), 64)


def scoring(repeats):
  """A billion pairs of embeddings: the goal is 120 s on 2 cores."""
  count = 45_000
  embeddings = np.random.default_rng(0).normal(size=(count, 128))
  embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
  count_pairs = functools.partial(
    streaming.count_pairs, embeddings, np.arange(count) // 8
  )
  report(
    'scores of all pairs, 128-d',
    best_of(count_pairs, repeats),
    count * (count - 1) // 2,
    'pairs',
  )


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
  seconds = best_of(
    lambda: step(state, None, batch, jax.random.key(1)), repeats
  )
  report(f'recognition, {config.image_size} px', seconds, batch_size)


def gan(config, mesh, repeats):
  """The four updates of the GAN."""
  _, state, steps = ssl_gan.build(config, jax.random.key(0))
  batch_size = config.gan.batch_size
  batch = {'image': _images(batch_size, config.image_size)}
  for name, step in steps._asdict().items():
    step = meshes.jit_step(step, mesh, donate=False)
    update = functools.partial(step, state, None, batch, jax.random.key(1))
    report(
      f'gan {name}, {config.image_size} px',
      best_of(update, repeats),
      batch_size,
    )


def _images(count, size):
  shape = (count, size, size, 3)
  return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def main(_):
  allocator.keep_freed_memory()
  config = ssl_config.get_config()
  config.image_size = _SIZE.value
  mesh = meshes.make(1)
  drawing(_REPEATS.value)
  scoring(_REPEATS.value)
  recognition(config, mesh, _REPEATS.value)
  gan(config, mesh, _REPEATS.value)


if __name__ == '__main__':
  app.run(main)

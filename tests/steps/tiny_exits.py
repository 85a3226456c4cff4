"""A network of two exits, small enough to follow, and a batch for it."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from palmjax.engine import state as train_state
from tests import filled_variables

EXITS, CLASSES, SIZE, BATCH = 2, 3, 4, 6
KEY = jax.random.key(5)
# Compiled faster; runs are short.
quick_jit = functools.partial(
  jax.jit, compiler_options={'xla_backend_optimization_level': '0'}
)


class Layer(nn.Module):
  """Project, normalise by running or batch mean: [B, …] → [B, SIZE]."""

  @nn.compact
  def __call__(self, x, *, train):
    x = nn.Dense(SIZE, use_bias=False)(x.reshape(len(x), -1))
    return nn.BatchNorm(use_running_average=not train, momentum=0.5)(x)


class Tiny(nn.Module):
  """The embeddings of two layers, [2, B, SIZE]."""

  @nn.compact
  def __call__(self, images, *, train):
    first = Layer(name='first')(images, train=train)
    second = Layer(name='second')(nn.relu(first), train=train)
    return jnp.stack([first, second])


MODEL = Tiny()


def same(images):
  return images


def no_augment(key, images):
  del key
  return images


def batch(seed=0):
  """Images and labels."""
  rng = np.random.default_rng(seed)
  return {
    'image': rng.integers(0, 256, (BATCH, 2, 2, 3)).astype(np.uint8),
    'label': (np.arange(BATCH) % CLASSES).astype(np.int32),
  }


def softly(data, seed=1):
  """The batch with distributions for its first and last sample."""
  rng = np.random.default_rng(seed)
  soft = rng.dirichlet(np.ones(CLASSES), size=BATCH).astype(np.float32)
  has_soft = np.isin(np.arange(BATCH), (0, BATCH - 1))
  soft[~has_soft] = np.nan
  return data | {'soft': soft, 'has_soft': has_soft}


@functools.cache
def _variables():
  images = jnp.zeros((1, 2, 2, 3))
  shapes = jax.eval_shape(
    lambda key: MODEL.init(key, images, train=False), jax.random.key(0)
  )
  return filled_variables.fill(shapes)


def state(tx):
  """A state at step 0 in buffers of its own; nothing is compiled."""
  stats = jax.tree.map(jnp.array, _variables())
  rng = np.random.default_rng(1)
  head = rng.normal(size=(EXITS, CLASSES, SIZE)).astype(np.float32)
  params = {'backbone': stats.pop('params'), 'head': jnp.asarray(head)}
  return train_state.create(params, stats, tx)


def inputs(data):
  """[B, 12] in float64."""
  return data['image'].reshape(len(data['image']), -1) / 127.5 - 1.0


def embeddings_by_hand(params, data):
  """Of both exits in train mode, float64 [2, B, SIZE]."""
  embeddings, x = [], inputs(data)
  for name in ('first', 'second'):
    x = x @ np.asarray(params['backbone'][name]['Dense_0']['kernel'], float)
    x = (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + 1e-5)
    embeddings.append(x)
    x = np.maximum(x, 0)
  return np.stack(embeddings)


def softmax(x):
  p = np.exp(x - x.max(axis=-1, keepdims=True))
  return p / p.sum(axis=-1, keepdims=True)

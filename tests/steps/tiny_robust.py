"""A tiny detector, trained on perturbed images."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax

from palmjax.losses import detection, transport
from palmjax.ops import ball
from palmjax.steps import detect, perturb, perturbed_tasks
from tests.steps import tiny_teachers

MODEL = tiny_teachers.Tiny()
EPSILON = 8 / 255
# In units of the cost; few iterations compile and run faster.
SOLVER_EPSILON, ITERATIONS = 0.1, 5
SOLVER = functools.partial(
  transport.sinkhorn, epsilon=SOLVER_EPSILON, num_iterations=ITERATIONS
)
SGD = optax.sgd(0.1)
# Compiled faster; runs are short.
quick_jit = functools.partial(
  jax.jit, compiler_options={'xla_backend_optimization_level': '0'}
)


def task(augment=tiny_teachers.no_augment, **options):
  return perturbed_tasks.detector(MODEL, augment=augment, **options)


def perturbation(kind, **changes):
  return perturb.Perturbation(
    **{'kind': kind, 'epsilon': EPSILON, 'step_size': EPSILON / 2}
    | {'solver': SOLVER}
    | changes
  )


def state(tx=SGD):
  return detect.create_state(
    MODEL, tx, jax.random.key(1), input_shape=(16, 16, 3)
  )


def batch(seed=0):
  """Four images; some values lie at the ends of the range."""
  data = tiny_teachers.batch(factor=1, seed=seed, size=4)
  data['image'][:, :4] = 255
  data['image'][:, 4:6] = 0
  return data


def images(data):
  return (data['image'] / 127.5 - 1.0).astype(np.float32)


def loss(params, stats, images, data, *, train=False):
  """(loss, terms, statistics of a detector), without `perturbed_tasks`."""
  variables = {'params': params['detector'], **stats}
  if train:
    (maps, _), new = MODEL.apply(
      variables, images, train=True, mutable=['batch_stats']
    )
  else:
    (maps, _), new = MODEL.apply(variables, images, train=False), stats
  wanted = detect.targets(maps, data, radius='published', cells=9)
  value, terms = detection.detection_loss(maps, wanted)
  return value, terms, new


def pooled(variables, images):
  """Mean over its cells of the last level."""
  params, stats = variables
  _, levels = MODEL.apply(
    {'params': params['detector'], **stats}, images, train=False
  )
  return jnp.mean(levels[1], axis=(1, 2))


def distance(variables, perturbed, images):
  """D of the pooled vectors, by products in place of logarithms."""
  vectors = jax.lax.stop_gradient(pooled(variables, images))
  others = pooled(variables, perturbed)
  lengths = jnp.outer(
    jnp.linalg.norm(vectors, axis=1), jnp.linalg.norm(others, axis=1)
  )
  cost = 1 - vectors @ others.T / lengths
  count = len(cost)
  kernel = jnp.exp(-cost / SOLVER_EPSILON)
  right = jnp.ones(count)
  for _ in range(ITERATIONS):
    left = 1 / (count * (kernel @ right))
    right = 1 / (count * (left @ kernel))
  return jnp.sum(left[:, None] * kernel * right * cost)


def start(images, key):
  return ball.uniform(key, images, radius=EPSILON)


def assert_inside(perturbed, images, epsilon=EPSILON):
  """A share of [0, 1] is twice as much of [−1, 1]."""
  assert np.abs(perturbed - images).max() <= 2 * epsilon + 2e-7
  assert np.abs(perturbed).max() <= 1

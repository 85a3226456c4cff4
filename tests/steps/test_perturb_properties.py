"""Target images of any images: they stay in the ball and in the range."""

import functools

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import strategies
from hypothesis.extra import numpy as arrays

from palmjax.ops import ball
from palmjax.steps import perturb, perturbed_tasks
from tests.steps import tiny_robust

SHAPE = (3, 2, 2, 1)
# A third of the values are ends of the range.
VALUES = strategies.one_of(
  strategies.floats(-1, 1, width=32),
  strategies.floats(-1, 1, width=32),
  strategies.sampled_from([-1.0, 1.0]),
)
STEPS = 2


def linear(params, stats, images):
  del stats
  return images.reshape(len(images), -1) @ params


TASK = perturbed_tasks.Task(
  prepare=None,
  apply_eval=linear,
  apply_train=None,
  attack_eval=linear,
  attack_train=None,
  loss=lambda params, outputs, targets: (
    jnp.mean((outputs - targets) ** 2),
    {},
  ),
  vectors=lambda outputs: [outputs],
)


# Radius and step are traced: one program for each kind.
@functools.partial(tiny_robust.quick_jit, static_argnums=0)
def find(kind, weights, images, key, epsilon, step_size):
  perturbation = tiny_robust.perturbation(
    kind, epsilon=epsilon, step_size=step_size, num_steps=STEPS
  )
  target_images, _ = perturb.find_target_images(
    TASK, perturbation, (weights, {}), (images, 1.0), key
  )
  return target_images


@hypothesis.settings(
  max_examples=40, deadline=None, derandomize=True, database=None
)
@hypothesis.given(
  kind=strategies.sampled_from(['ot', 'adversarial']),
  images=arrays.arrays(np.float32, SHAPE, elements=VALUES),
  weights=arrays.arrays(
    np.float32, (4, 2), elements=strategies.floats(-1e3, 1e3, width=32)
  ),
  seed=strategies.integers(0, 2**31 - 1),
  epsilon=strategies.floats(0, 1, width=32),
  step_size=strategies.floats(0, 4, width=32, exclude_min=True),
)
def test_in_ball_and_range(kind, images, weights, seed, epsilon, step_size):
  key = jax.random.key(seed)
  target_images = find(kind, weights, images, key, epsilon, step_size)
  tiny_robust.assert_inside(target_images, images, epsilon)


def test_a_batch_of_one_is_moved_from_itself():
  """The only plan there is moves an image to its own copy."""
  rng = np.random.default_rng(0)
  images = rng.uniform(-1, 1, (1, *SHAPE[1:])).astype(np.float32)
  weights = rng.normal(size=(4, 2)).astype(np.float32)
  key = jax.random.key(0)
  matched, paired = (
    find(kind, weights, images, key, 0.1, 0.05) for kind in ('ot', 'distance')
  )
  np.testing.assert_allclose(matched, paired, atol=1e-6)
  start = ball.uniform(key, images, radius=0.1)
  assert (np.asarray(matched) != start).all()

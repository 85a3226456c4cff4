"""Drawing palms."""

import functools

import jax
import jax.numpy as jnp

from launch.bench import timing
from palmjax.data.palms import palms


def run(args):
  """Palms at 112 px: the goal is 100 images/s on 2 cores."""
  numbers = jnp.arange(64)
  draw = functools.partial(
    palms.draw_batch, jax.random.key(0), numbers, numbers, size=112
  )
  timing.report('palms, 112 px', timing.best_of(draw, args.repeats), 64)

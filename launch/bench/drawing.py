"""Drawing palms and hands."""

import functools

import jax
import jax.numpy as jnp

from launch.bench import timing
from palmjax.data.hands import hands
from palmjax.data.palms import palms

# Images a second: of palms at 112 px, of hands at 128 px.
PALM_GOALS = {'cpu': 200, 'gpu': 20_000}
HAND_GOALS = {'cpu': 150, 'gpu': 2000}


def run(args):
  """Palms at 112 px and hands at 128 px; goals are for 2 cores and an H200.

  Yields:
    Rows of `timing.report`.
  """
  size, count = (32, 8) if args.small else (None, None)
  yield draw('palms', palms_of, size or 112, count or 64, PALM_GOALS, args)
  yield draw('hands', hands_of, size or 128, count or 64, HAND_GOALS, args)


def draw(name, make, size, count, goals, args):
  """The row of one program that draws `count` images."""
  seconds = timing.best_of(make(size, count), args.repeats)
  row = timing.report(f'{name}, {size} px, {count} at once', seconds, count)
  goal = goals.get(jax.default_backend())
  return timing.goal(row, goal) if goal else row


def palms_of(size, count):
  """A function without arguments that draws palms."""
  numbers = jnp.arange(count)
  return functools.partial(
    palms.draw_batch, jax.random.key(0), numbers, numbers, size=size
  )


def hands_of(size, count):
  """A function without arguments that draws hands."""
  return functools.partial(
    hands.draw_batch, jax.random.key(0), jnp.arange(count), size=size
  )

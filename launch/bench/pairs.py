"""Comparing embeddings."""

import functools

import numpy as np

from launch.bench import timing
from palmjax.evals.recognition import streaming


def run(args):
  """A billion pairs of embeddings: the goal is 120 s on 2 cores."""
  count = 45_000
  embeddings = np.random.default_rng(0).normal(size=(count, 128))
  embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
  count_pairs = functools.partial(
    streaming.count_pairs, embeddings, np.arange(count) // 8
  )
  scored = count * (count - 1) // 2
  row = timing.report(
    f'{scored / 1e9:.2f} billion pairs, 128-d',
    timing.best_of(count_pairs, args.repeats),
    scored,
    'pairs',
  )
  yield timing.within(row, 120)

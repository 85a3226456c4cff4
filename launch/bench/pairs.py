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
  yield timing.report(
    'scores of all pairs, 128-d',
    timing.best_of(count_pairs, args.repeats),
    count * (count - 1) // 2,
    'pairs',
  )

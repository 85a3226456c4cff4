"""One training in both types, from one start."""

import jax
import jax.numpy as jnp
import numpy as np

from launch.precision import trainings

COLUMNS = 'steps', 'free', 'scaled'


def compare(training, start, *, steps=trainings.STEPS, columns=COLUMNS):
  """Differences from one start (docstring of `launch.precision.__main__`).

  Args:
    training: `Training`.
    start: int: of weights, images, batches and what is drawn in a step.
    steps: iterations.
    columns: of `COLUMNS`.

  Returns:
    {column: {name of a metric: relative difference}}; 'update' is one of the
    metrics of 'steps'.

  Raises:
    ValueError: another column.
  """
  if unknown := set(columns) - set(COLUMNS):
    raise ValueError(f'columns {sorted(unknown)}: use some of {COLUMNS}')
  rows, key = training.images(start), trainings.key(start, 'steps')
  whole, half = (training.updates(x) for x in (jnp.float32, jnp.bfloat16))

  def iterate(updates_of, state, i):
    generator = np.random.default_rng([start, i])
    chosen = generator.choice(
      len(rows['image']), training.batch_size, replace=False
    )
    batch = {name: value[chosen] for name, value in rows.items()}
    seen = {}
    for update in updates_of(i):
      state, metrics = update(state, None, batch, jax.random.fold_in(key, i))
      seen |= jax.device_get(metrics)
    return state, seen

  def train(updates_of, state):
    seen = []
    for i in range(steps):
      state, metrics = iterate(updates_of, state, i)
      seen.append(metrics)
    return seen

  first = training.create(start)
  state, expected, stepped, along = first, [], [], []
  for i in range(steps):
    after, metrics = iterate(whole, state, i)
    expected.append(metrics)
    if 'steps' in columns:
      other, metrics = iterate(half, state, i)
      stepped.append(metrics)
      along.append(_along(*map(training.weights, (state, after, other))))
    state = after
  runs = {}
  if 'steps' in columns:
    runs['steps'] = stepped
  if 'free' in columns:
    runs['free'] = train(half, first)
  if 'scaled' in columns:
    runs['scaled'] = train(whole, training.scale(first, 1.0001))
  table = {
    column: {
      name: _mean(seen, name) / _mean(expected, name) - 1
      for name in training.judged
    }
    for column, seen in runs.items()
  }
  if 'steps' in columns:
    table['steps']['update'] = float(np.mean(along)) - 1
  return table


def _along(before, after, other):
  """<b, a> / <a, a> of the changes a and b of weights; 1 where none changed."""

  def vector(weights):
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(weights)])

  before, after, other = map(vector, jax.device_get((before, after, other)))
  expected, got = (x.astype(np.float64) - before for x in (after, other))
  if not expected.any() and not got.any():
    return 1.0
  return got @ expected / (expected @ expected)


def _mean(seen, name):
  """Of a metric that not every iteration has."""
  return float(np.mean([x[name] for x in seen if name in x]))

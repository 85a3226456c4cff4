"""Trainings in bfloat16 beside the same ones in float32, from several starts.

python -m launch.precision [--starts=16] [--kinds palm …] [--out=DIR]

Small networks, drawn palms and hands, 200 iterations. A number says by how much
the mean of a metric over all iterations differs from the training in float32:

  steps    in bfloat16; every iteration begins from the state that the training
           in float32 had then
  windows  the same, but every eighth iteration only
  free     in bfloat16, from the first state on
  other    in float32, from first weights times 1.0001: of a change that means
           nothing

Two trainings from almost one state drift apart after tens of iterations,
whatever makes them differ. So `free` tells little of bfloat16 where `other` is
as large.
"""

import argparse
import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats

from palmjax import files
from palmjax.data.hands import hands
from palmjax.data.palms import palms
from palmjax.engine import optim
from palmjax.losses import metric as metric_losses
from palmjax.losses import transport
from palmjax.models import (
  detector,
  discriminator,
  generator,
  heads,
  mobilefacenet,
)
from palmjax.steps import classify, detect, perturb, perturbed_tasks, robust
from palmjax.steps.gan import ada, networks, updates

STEPS = 200
# In bfloat16: iterations between two states of the training in float32.
_WINDOWS = {'steps': 1, 'windows': 8}
COLUMNS = *_WINDOWS, 'free', 'other'
_IDENTITIES, _SAMPLES, _HANDS = 16, 24, 256
_PALM_SIZE, _HAND_SIZE, _BATCH, _HAND_BATCH, _LENGTH = 48, 64, 32, 8, 32
_SCHEDULE = {'num_steps': STEPS, 'warmup_steps': 10}
_KEY = jax.random.key(1)
_LOGITS = functools.partial(metric_losses.arcface_logits, margin=0.1, scale=8.0)


class Training(NamedTuple):
  """A training that can begin anew.

  Attributes:
    create: start → first state; a start is an int.
    updates: type → function of an iteration: its jitted updates, each `(state,
      None, batch, key) → (state, metrics)`.
    images: start → what batches are rows of: {name: [N, …]}.
    batch_size: rows of a batch.
    judged: names of the metrics that are compared.
  """

  create: Callable
  updates: Callable
  images: Callable
  batch_size: int
  judged: tuple


def compare(training, start, steps=STEPS, columns=COLUMNS):
  """Differences from one start (module docstring).

  Args:
    training: `Training`.
    start: int: of weights, images and batches.
    steps: iterations.
    columns: of `COLUMNS`.

  Returns:
    {column: {name of a metric: relative difference}}.
  """
  rows = training.images(start)
  count = len(rows['image'])

  def batch(i):
    chosen = np.random.default_rng([start, i]).choice(
      count, training.batch_size, replace=False
    )
    return {name: value[chosen] for name, value in rows.items()}

  run = functools.partial(_run, batch=batch, steps=steps)
  whole, half = (training.updates(x) for x in (jnp.float32, jnp.bfloat16))
  first = training.create(start)
  expected, states = run(whole, {0: first}, keep=True)
  table = {}
  for column in columns:
    if column == 'other':
      means, _ = run(whole, {0: jax.tree.map(_move, first)})
    elif column == 'free':
      means, _ = run(half, {0: first})
    else:
      every = _WINDOWS[column]
      means, _ = run(half, {i: states[i] for i in range(0, steps, every)})
    table[column] = {
      name: float(means[name] / expected[name] - 1) for name in training.judged
    }
  return table


def _move(value):
  if jnp.issubdtype(value.dtype, jnp.floating):
    return value * jnp.asarray(1.0001, value.dtype)
  return value


def _run(updates_of, states, batch, steps, keep=False):
  """(mean metrics, {i: state before iteration i} if `keep`) of a training.

  Args:
    updates_of: iteration → jitted updates.
    states: {iteration: state that it begins from}; others go on.
    batch: iteration → batch.
    steps: iterations.
    keep: whether states are kept.
  """
  seen, kept, state = {}, {}, states[0]
  for i in range(steps):
    state = states.get(i, state)
    if keep:
      kept[i] = state
    rows, key = batch(i), jax.random.fold_in(_KEY, i)
    for update in updates_of(i):
      state, metrics = update(state, None, rows, key)
      for name, value in jax.device_get(metrics).items():
        seen.setdefault(name, []).append(float(value))
  return {name: np.mean(values) for name, values in seen.items()}, kept


def _same(*arguments):
  return arguments[-1]


_IMAGES = {'preprocess': _same, 'augment': _same}


def _always(make_step):
  @functools.cache
  def updates_of(dtype):
    step = jax.jit(make_step(dtype))
    return lambda i: (step,)

  return updates_of


@functools.cache
def _palms(start):
  labels = np.repeat(np.arange(_IDENTITIES, dtype=np.int32), _SAMPLES)
  image = palms.draw_batch(
    jax.random.key(start), labels, np.arange(len(labels)), size=_PALM_SIZE
  )
  return {'image': np.asarray(image), 'label': labels}


@functools.cache
def _hands(start):
  drawn = hands.draw_batch(
    jax.random.key(start), np.arange(_HANDS), size=_HAND_SIZE
  )
  return jax.device_get(drawn)


def _backbone(dtype):
  return mobilefacenet.MobileFaceNet(
    embedding_size=_LENGTH, width=0.125, dtype=dtype
  )


def _palm_training(make_step, judged):
  """`Training` on palms; `make_step` takes the network and the optimiser."""
  tx = optim.sgd(
    0.005, momentum=0.9, weight_decay=5e-4, max_norm=5.0, **_SCHEDULE
  )

  def create(start):
    return classify.create_state(
      _backbone(jnp.float32),
      tx,
      jax.random.key(start),
      input_shape=(_PALM_SIZE, _PALM_SIZE, 3),
      head=heads.init_head(jax.random.key(start + 1000), _IDENTITIES, _LENGTH),
    )

  return Training(
    create,
    _always(lambda dtype: make_step(_backbone(dtype), tx)),
    _palms,
    _BATCH,
    judged,
  )


def _palm():
  def make_step(model, tx):
    return classify.make_step(model, tx, logits_fn=_LOGITS, **_IMAGES)

  return _palm_training(make_step, ('loss', 'accuracy', 'embedding_norm'))


def _perturbed():
  def make_step(model, tx):
    task = perturbed_tasks.recogniser(model, logits_fn=_LOGITS, **_IMAGES)
    solver = functools.partial(transport.sinkhorn, num_iterations=50)
    target = perturb.Perturbation(
      epsilon=4 / 255, step_size=4 / 255, solver=solver
    )
    return robust.make_step(task, tx, target, statistics='joint')

  return _palm_training(
    make_step, ('loss', 'clean', 'perturbed', 'clean/accuracy', 'ot/distance')
  )


def _detector():
  tx = optim.adamw(1e-3, weight_decay=1e-4, max_norm=10.0, **_SCHEDULE)

  def network(dtype):
    return detector.Detector(len(hands.GESTURES), width=0.25, dtype=dtype)

  def create(start):
    return detect.create_state(
      network(jnp.float32),
      tx,
      jax.random.key(start),
      input_shape=(_HAND_SIZE, _HAND_SIZE, 3),
    )

  return Training(
    create,
    _always(lambda dtype: detect.make_step(network(dtype), tx, augment=_same)),
    _hands,
    _HAND_BATCH,
    ('loss', 'loss/class', 'loss/offset', 'loss/size', 'loss/points'),
  )


def _gan():
  adam = functools.partial(optim.lazy_adam, 0.003, b1=0.0, b2=0.99)
  txs = adam(interval=4), adam(interval=16)

  def pair(dtype):
    sizes = {
      'image_size': 16,
      'fmap_base': 64,
      'fmap_max': 16,
      'dtype': dtype,
    }
    return (
      generator.Generator(latent_size=16, mapping_layers=2, **sizes),
      discriminator.Discriminator(**sizes),
    )

  def images(start):
    # Means of 3 x 3 pixels.
    whole = _palms(start)['image'].reshape(-1, 16, 3, 16, 3, 3)
    return {'image': whole.mean(axis=(2, 4)).astype(np.uint8)}

  def create(start):
    batch = {'image': images(start)['image'][:_BATCH]}
    return networks.create_state(
      *pair(jnp.float32), *txs, batch, jax.random.key(start)
    )

  @functools.cache
  def updates_of(dtype):
    steps = updates.make_steps(
      *pair(dtype), *txs, augment=ada.augment, r1_gamma=0.3
    )
    return updates.schedule(updates.Steps(*map(jax.jit, steps)))

  judged = ('d/loss', 'g/loss', 'd/r1', 'g/path_length')
  return Training(create, updates_of, images, _BATCH, judged)


KINDS = {
  'palm': _palm,
  'perturbed palm': _perturbed,
  'detector': _detector,
  'gan': _gan,
}


def main(argv=None):
  """The command line."""
  parser = argparse.ArgumentParser(
    prog='python -m launch.precision', description=__doc__.split('\n')[0]
  )
  parser.add_argument('--starts', type=int, default=16, metavar='N')
  parser.add_argument('--first', type=int, default=100, metavar='START')
  parser.add_argument('--steps', type=int, default=STEPS, metavar='N')
  parser.add_argument(
    '--kinds', nargs='+', default=list(KINDS), choices=list(KINDS)
  )
  parser.add_argument('--out', default='docs/results', metavar='DIR')
  parser.add_argument('--commit', default='', help='to name in the file')
  args = parser.parse_args(argv)
  if min(args.starts - 1, args.steps) < 1:
    parser.error('give 2 or more --starts and 1 or more --steps')
  out = files.make_folder(args.out)
  table = {}
  for kind in args.kinds:
    training = KINDS[kind]()
    starts = []
    for start in range(args.first, args.first + args.starts):
      starts.append(compare(training, start, args.steps))
      print(kind, start, _percent(starts[-1]), flush=True)
    table[kind] = _summary(starts)
  kinds = ' '.join(
    f"'{kind}'" if ' ' in kind else kind
    for kind in args.kinds
    if args.kinds != list(KINDS)
  )
  content = {
    'command': 'python -m launch.precision'
    f' --starts={args.starts} --first={args.first} --steps={args.steps}'
    + (f' --kinds {kinds}' if kinds else ''),
    'measured_at': args.commit,
    'backend': jax.default_backend(),
    'table': table,
  }
  files.write_json(out / 'precision.json', content)


def _percent(columns):
  """The differences of the losses in percent, for a line."""
  return {
    column: {name: f'{100 * value:.2f} %' for name, value in values.items()}
    for column, values in columns.items()
  }


def _summary(starts):
  """{column: {metric: mean, 95 % interval of the mean, and each start}}."""
  table = {}
  for column in starts[0]:
    table[column] = {}
    for name in starts[0][column]:
      values = np.array([start[column][name] for start in starts])
      reach = stats.t.ppf(0.975, len(values) - 1) * stats.sem(values)
      table[column][name] = {
        'mean': values.mean(),
        'interval': [values.mean() - reach, values.mean() + reach],
        'starts': values.tolist(),
      }
  return table


if __name__ == '__main__':
  main()

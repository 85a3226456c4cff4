"""Training steps on perturbed images, beside a plain one; prints the ratios.

By its convolutions an arm with one step of ascent is three plain steps: forward
and backward on the images, on the target images, and for the ascent two passes
forward and one back to the images. Its time can be less than three times as
long. Augmentation, the maps to be learned and the optimiser's update come once
in a step of any arm, and with running statistics the ascent's pass over the
unchanged images is that of the update, which a compiler may do once. The arms
take turns, as machines are shared, and the fastest of several repeats counts.

Nearly all the time goes into compilation: a quarter for the plain step, two
thirds for 'ot'. So only these two are compiled unless more arms are asked for,
both at once, in 4 GB. Images are noise: the program that draws hands would take
another sixth.
"""

import functools
import pathlib
import time
from concurrent import futures

import jax
import numpy as np

from configs import robust as robust_config
from launch.bench import timing
from palmjax import files
from palmjax.data.hands import hands
from palmjax.engine import allocator
from palmjax.engine import mesh as meshes
from palmjax.engine import state as train_state
from palmjax.networks import hand as hand_networks
from palmjax.recipes.robust import statistics, training
from palmjax.recipes.shared import hand_images, hand_settings

CONTROL = 'plain'
CHOICES = tuple(arm for arm in training.ARMS if arm != CONTROL)
# Unless stated.
ARMS = ('ot',)
# Of a step of 'ot', in plain steps.
GOAL = 3.2


def run(args):
  """A step of each arm, of the shipped detector."""
  config = robust_config.get_config()
  config.image_size = args.size or config.image_size
  steps = make_steps(config, [CONTROL, *args.arms])
  # The first call compiles, on one core.
  with futures.ThreadPoolExecutor() as pool:
    first = dict(zip(steps, pool.map(_seconds, steps.values()), strict=True))
  allocator.retire_holes()  # As in a training.
  taken = {arm: [] for arm in steps}
  for _ in range(args.repeats):
    for arm, step in steps.items():
      taken[arm].append(_seconds(step))
  seconds = {arm: (first[arm], min(times)) for arm, times in taken.items()}
  side, count = config.image_size, config.train.batch_size
  for arm, times in seconds.items():
    yield timing.report(f'detector, {arm}, {side} px', times, count)
    ratio = times[1] / seconds[CONTROL][1]
    print(f'{"":34}{ratio:.2f} × {CONTROL}', flush=True)
  if args.out:
    content = {
      'command': 'python -m launch.bench perturbed --out=docs/results',
      'measured_at': args.commit,
      'runs': (
        f'one process; {jax.devices()[0].device_kind}; {count} images of '
        f'{side} px'
      ),
      'table': table({arm: times[1] for arm, times in seconds.items()}),
    }
    files.write_json(pathlib.Path(args.out) / 'perturbed.json', content)


def table(seconds):
  """The table of docs/results.md, from {arm: seconds of a step}.

  Returns:
    {arm: {'time / plain': {'mean'}, of 'ot' also 'goal'}}, without 'plain'.
  """
  rows = {
    arm: {f'time / {CONTROL}': {'mean': round(taken / seconds[CONTROL], 3)}}
    for arm, taken in seconds.items()
    if arm != CONTROL
  }
  if 'ot' in rows:
    rows['ot']['goal'] = {'mean': GOAL}
  return rows


def make_steps(config, arms):
  """{arm: `functools.partial` of a compiled step, from the start}."""
  config = statistics.settle(config, 'train')
  side = config.image_size
  start = training.read_start(config, hands.GESTURES)
  model = hand_networks.build(start.description)
  batch = annotated_noise(config.train.batch_size, side)
  noise = hand_images.HandImages(batch, {}, hands.GESTURES, (), '')
  task = training.hand_task(noise, model, config)
  tx, mesh = hand_settings.optimiser(config.train), meshes.make(1)

  def make(arm):
    made = training.perturbation(config, arm)
    start_state = train_state.create(
      start.network.params, start.network.stats, tx
    )
    state = training.create_state(start_state, made, config.train, side)
    step = training.make_step(task, tx, made, config.train)
    update = meshes.jit_step(step, mesh, donate=False)
    return functools.partial(update, state, None, batch, jax.random.key(1))

  return {arm: make(arm) for arm in arms}


def annotated_noise(count, side):
  """A batch as `data.hands.hands.draw_batch` has it, of noise: it times alike.

  Args:
    count: of images.
    side: of an image, pixels.

  Returns:
    {name: array [count, …]}; each image has three hands.
  """
  rng = np.random.default_rng(0)
  shape = count, hands.HANDS
  corners = rng.uniform(0, side / 2, (*shape, 2))
  sizes = rng.uniform(side / 8, side / 2, (*shape, 2))
  return {
    'image': rng.integers(0, 256, (count, side, side, 3), np.uint8),
    'boxes': np.concatenate([corners, corners + sizes], -1).astype(np.float32),
    'classes': rng.integers(0, len(hands.GESTURES), shape, np.int32),
    'valid': np.ones(shape, bool),
    'points': rng.uniform(0, side, (*shape, 3, 2)).astype(np.float32),
    'framed': np.ones(shape, bool),
    'facing': rng.random(shape) < 0.5,
    'left': rng.random(shape) < 0.5,
  }


def _seconds(step):
  begun = time.perf_counter()
  jax.block_until_ready(step())
  return time.perf_counter() - begun

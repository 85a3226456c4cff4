"""Training steps on perturbed images, beside a plain one; prints the ratios.

The floor of an arm with one step of ascent is three plain steps: forward and
backward on the images, on the target images, and for the ascent. The arms take
turns, as machines are shared, and the fastest of several repeats counts.
"""

import pathlib
import time

import jax
import jax.numpy as jnp

from configs import robust as robust_config
from launch.bench import timing
from palmjax import files
from palmjax.data.hands import hands
from palmjax.engine import mesh as meshes
from palmjax.engine import state as train_state
from palmjax.networks import hand as hand_networks
from palmjax.recipes.robust import training
from palmjax.recipes.shared import hand_images, hand_settings

ARMS = ('plain', 'ot', 'distance', 'adversarial')
# Of a step of 'ot', in plain steps.
GOAL = 3.2


def run(args):
  """A step of each arm, of the shipped detector."""
  config = robust_config.get_config()
  config.image_size = args.size or config.image_size
  taken = {arm: [] for arm in ARMS}
  steps = make_steps(config)
  for _ in range(args.repeats + 1):
    for arm, step in steps.items():
      begun = time.perf_counter()
      jax.block_until_ready(step())
      taken[arm].append(time.perf_counter() - begun)
  # The first call compiles.
  seconds = {arm: (times[0], min(times[1:])) for arm, times in taken.items()}
  side, count = config.image_size, config.train.batch_size
  for arm, times in seconds.items():
    timing.report(f'detector, {arm}, {side} px', times, count)
    print(f'{"":34}{times[1] / seconds["plain"][1]:.2f} × plain', flush=True)
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
    arm: {'time / plain': {'mean': round(taken / seconds['plain'], 3)}}
    for arm, taken in seconds.items()
    if arm != 'plain'
  }
  rows['ot']['goal'] = {'mean': GOAL}
  return rows


def make_steps(config):
  """{arm: function without arguments that makes one update from the start}."""
  batch_size, side = config.train.batch_size, config.image_size
  start = training.read_start(config, hands.GESTURES)
  model = hand_networks.build(start.description)
  batch = hands.draw_batch(
    jax.random.key(0),
    jnp.arange(batch_size),
    size=side,
    difficulty=config.data.difficulty,
  )
  drawn = hand_images.HandImages(batch, {}, hands.GESTURES, (), '')
  task = training.hand_task(drawn, model, config)
  tx, mesh = hand_settings.optimiser(config.train), meshes.make(1)

  def make(arm):
    made = training.perturbation(config, arm)
    start_state = train_state.create(
      start.network.params, start.network.stats, tx
    )
    state = training.create_state(start_state, made, config.train, side)
    step = training.make_step(task, tx, made, config.train)
    update = meshes.jit_step(step, mesh, donate=False)
    return lambda: update(state, None, batch, jax.random.key(1))

  return {arm: make(arm) for arm in ARMS}

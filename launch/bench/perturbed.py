"""Training steps on perturbed images, beside a plain one.

The floor of an arm with one step of ascent is three plain steps: forward and
backward on the images, on the target images, and for the ascent.
"""

import jax
import jax.numpy as jnp

from configs import robust as robust_config
from launch.bench import timing
from palmjax.data.hands import hands
from palmjax.engine import mesh as meshes
from palmjax.engine import state as train_state
from palmjax.losses import detection
from palmjax.networks import hand as hand_networks
from palmjax.recipes.robust import training
from palmjax.recipes.shared import hand_settings
from palmjax.steps import perturbed_tasks, robust

_ARMS = ('plain', 'ot', 'distance', 'adversarial')


def run(args):
  """A step of each arm, of the shipped detector."""
  config = robust_config.get_config()
  config.image_size = args.size or config.image_size
  batch_size, side = config.train.batch_size, config.image_size
  start = training.read_start(config, hands.GESTURES)
  model = hand_networks.build(start.description)
  task = perturbed_tasks.detector(
    model,
    augment=hand_settings.augmentation(config),
    weights=detection.WEIGHTS,
    vector=config.perturb.vector,
  )
  batch = hands.draw_batch(
    jax.random.key(0),
    jnp.arange(batch_size),
    size=side,
    difficulty=config.data.difficulty,
  )
  tx, mesh = hand_settings.optimiser(config.train), meshes.make(1)
  plain = None
  for arm in _ARMS:
    made = training.perturbation(config, arm)
    state = train_state.create(start.network.params, start.network.stats, tx)
    state = robust.create_state(
      state,
      made,
      images=(batch_size, side, side, 3),
      statistics=config.train.statistics,
    )
    step = meshes.jit_step(
      robust.make_step(task, tx, made, statistics=config.train.statistics),
      mesh,
      donate=False,
    )
    seconds = timing.best_of(
      lambda step=step, state=state: step(
        state, None, batch, jax.random.key(1)
      ),
      args.repeats,
    )
    timing.report(f'detector, {arm}, {side} px', seconds, batch_size)
    plain = plain or seconds[1]
    print(f'{"":34}{seconds[1] / plain:.2f} × plain', flush=True)

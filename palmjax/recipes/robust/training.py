"""An arm of the recipe `robust`: a detector that goes on training."""

import dataclasses
import functools
from typing import NamedTuple

import jax

from palmjax.data import streams
from palmjax.engine import mesh as meshes
from palmjax.engine import state as train_state
from palmjax.losses import transport
from palmjax.networks import hand as hand_networks
from palmjax.networks import shipped
from palmjax.recipes.shared import hand_settings, hand_training
from palmjax.steps import detect, perturb, perturbed_tasks, robust

# Arm → `perturb.Perturbation.kind`.
ARMS = {
  'plain': 'none',
  'random': 'random',
  'distance': 'distance',
  'ot': 'ot',
  'adversarial': 'adversarial',
  'free': 'free',
}
# Sections of a config that `train` reads.
SECTIONS = (
  'image_size',
  'detector',
  'dtype',
  'batch_norm_momentum',
  'augment',
  'loss',
  'perturb',
  'train',
  'stop',
  'log_every',
)
SOLVERS = ('sinkhorn', 'ipot')
# Streams of a stage's key.
_INIT, _BATCHES = 0, 2


class Start(NamedTuple):
  """The detector that every arm begins with.

  Attributes:
    description: `model` of its export.
    smaller: the smaller sizes that it looks at in use.
    network: `networks.hand.HandDetector`; None: random weights.
  """

  description: dict
  smaller: tuple[float, ...]
  network: hand_networks.HandDetector | None


def folder(config):
  """Export folder that `start` of a config names; '' for random weights."""
  return str(shipped.HAND) if config.start == 'shipped' else config.start


def read_start(config, classes):
  """Loads the detector to be trained (claim 1).

  Args:
    config: of configs/robust.py.
    classes: names in the data.

  Returns:
    `Start`.

  Raises:
    ValueError, OSError: the export is damaged, of another kind of network, or
      tells other classes apart.
  """
  if not config.start:
    description = {
      'name': 'detector',
      'classes': list(classes),
      'width': config.detector.width,
      'depth': config.detector.depth,
      'level': 1,
      'factor': 1,
      'dtype': config.dtype,
      'batch_norm_momentum': config.batch_norm_momentum,
    }
    return Start(description, (), None)
  network = hand_networks.load(folder(config), passes=True)
  if network.classes != tuple(classes):
    raise ValueError(
      f'--config.start={config.start} tells {", ".join(network.classes)} apart '
      f'and the data has {", ".join(classes)}: give data or a start with the '
      "same classes in the same order, or --config.start='' for random weights"
    )
  if network.description['factor'] != 1:
    raise ValueError(
      f'--config.start={config.start} looks at larger images than the others: '
      'give a detector of factor 1'
    )
  description = {**network.description, 'dtype': config.dtype}
  return Start(description, network.smaller, network)


def perturbation(config, arm):
  """`perturb.Perturbation` of an arm; config of `statistics.settle`."""
  section = config.perturb
  if section.solver not in SOLVERS:
    raise ValueError(
      f'solver={section.solver}: choose one of {", ".join(SOLVERS)}'
    )
  if section.solver == 'ipot':
    solver = functools.partial(
      transport.ipot,
      beta=section.solver_epsilon,
      num_iterations=section.solver_iterations,
    )
  else:
    solver = functools.partial(
      transport.sinkhorn,
      epsilon=section.solver_epsilon,
      num_iterations=section.solver_iterations,
      tolerance=section.solver_tolerance,
    )
  made = perturb.Perturbation(
    kind=ARMS[arm],
    epsilon=section.epsilon,
    step_size=section.step_size,
    num_steps=section.num_steps,
    solver=solver,
    detach_plan=section.detach_plan,
    statistics=section.statistics,
    replays=section.replays if arm == 'free' else 1,
  )
  perturb.check(made)
  return made


def create_state(state, made, section, side):
  """The state of an arm, from that of its network.

  Args:
    state: `TrainState`.
    made: of `perturbation`.
    section: of the training, with `batch_size` and `statistics`.
    side: of the images, pixels.

  Returns:
    `TrainState`, see `steps.robust.create_state`.
  """
  return robust.create_state(
    state,
    made,
    images=(section.batch_size, side, side, 3),
    statistics=section.statistics,
  )


def make_step(task, tx, made, section):
  """The update of an arm.

  Args:
    task: `perturbed_tasks.Task`.
    tx: optax transformation.
    made: of `perturbation`.
    section: of the training, with `weight` and `statistics`.

  Returns:
    Step, see `steps.robust.make_step`.
  """
  return robust.make_step(
    task, tx, made, weight=section.weight, statistics=section.statistics
  )


def batches(arrays, mesh, batch_size, key, replays):
  """Batches in the order of all arms, each `replays` times in a row.

  Args:
    arrays: {name: array [N, …]}.
    mesh: devices.
    batch_size: of all devices together.
    key: of the order.
    replays: updates by each batch.

  Returns:
    start → iterator of batches, as of `data.streams`.
  """
  data = streams.DeviceSet(arrays, sharding=meshes.batch_sharding(mesh))
  once = data.batches(batch_size, seed=streams.seed_of(key))
  return streams.repeated(once, replays)


def first_batch(arrays, section):
  """As many of the first images as a batch has; {name: array [B, …]}."""
  return {name: array[: section.batch_size] for name, array in arrays.items()}


def hand_task(hands, model, config):
  """`perturbed_tasks.Task` of a config."""
  return perturbed_tasks.detector(
    model,
    augment=hand_settings.augmentation(config),
    radius=config.loss.radius,
    cells=config.loss.cells,
    weights=hand_settings.term_weights(hands),
    vector=config.perturb.vector,
  )


def train(hands, mesh, start, stage, config, *, arm, key):
  """Trains an arm from the start and exports it (claim 1).

  Training goes on until the mean target loss of an epoch is at most the
  threshold `stop.loss`, or to the last step (claim 7).

  Args:
    hands: `hand_images.HandImages`.
    mesh: devices.
    start: `Start`.
    stage: `engine.stage.Stage`.
    config: with `SECTIONS`.
    arm: of `ARMS`.
    key: of order, augmentation and perturbation, the same for all arms.

  Returns:
    Metrics: {'params', 'ended'}.
  """
  stage = dataclasses.replace(stage, key=key)
  made = perturbation(config, arm)
  model = hand_networks.build(start.description)
  tx = hand_settings.optimiser(config.train)
  side, section = config.image_size, config.train
  if start.network is None:
    state = detect.create_state(
      model, tx, jax.random.fold_in(key, _INIT), input_shape=(side, side, 3)
    )
  else:
    state = train_state.create(start.network.params, start.network.stats, tx)
  task = hand_task(hands, model, config)
  return hand_training.train(
    stage,
    config,
    hands=hands,
    mesh=mesh,
    step=make_step(task, tx, made, section),
    state=create_state(state, made, section, side),
    section=section,
    description=start.description,
    preprocess=hand_networks.HandInput(image_size=side, smaller=start.smaller),
    batches=batches(
      hands.training,
      mesh,
      section.batch_size,
      jax.random.fold_in(key, _BATCHES),
      made.replays,
    ),
    kept=robust.network_stats,
    **hand_training.until(
      config,
      hands,
      section,
      model,
      replays=made.replays,
      radius=config.loss.radius,
      cells=config.loss.cells,
      weights=hand_settings.term_weights(hands),
    ),
  )

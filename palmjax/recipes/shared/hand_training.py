"""A hand detector in a recipe: trained and exported."""

import dataclasses
import pathlib
from typing import NamedTuple

import jax
import ml_collections

from palmjax.data import streams
from palmjax.engine import loop
from palmjax.engine import mesh as meshes
from palmjax.networks import described
from palmjax.networks import export as exports
from palmjax.networks import hand as hand_networks
from palmjax.recipes.shared import ending, hand_images, hand_settings
from palmjax.steps import detect, two_teachers

# Streams of a stage's key.
_INIT, _TRAIN, _BATCHES = range(3)
# Sections of a config that the training of any detector reads; that of a
# teacher reads `teachers` and its own size beside them, that of a student
# `student`.
SECTIONS = (
  'image_size',
  'resolution',
  'augment',
  'dtype',
  'batch_norm_momentum',
  'loss',
  'train',
  'stop',
  'log_every',
)
MEASURES = ('loss',)


class HandRun(NamedTuple):
  """Values that the report of a recipe shows."""

  config: ml_collections.ConfigDict
  hands: hand_images.HandImages
  workdir: pathlib.Path


def train_teacher(hands, mesh, stage, config, *, name):
  """Trains a teacher on the labels alone and exports it.

  Args:
    hands: `hand_images.HandImages`.
    mesh: devices.
    stage: `engine.stage.Stage`.
    config: with `SECTIONS`, `teachers` and its own size.
    name: 'teacher1' or 'teacher2'.

  Returns:
    Metrics: {'params', 'ended'}.
  """
  section = hand_settings.of_teachers(config)
  description = hand_settings.describe(config, name, hands.classes)
  model, tx = hand_networks.build(description), hand_settings.optimiser(section)
  shrink = 1 if name == 'teacher2' else config.resolution.factor
  side = hand_settings.shown(config) // shrink
  state = detect.create_state(
    model, tx, jax.random.fold_in(stage.key, _INIT), input_shape=(side, side, 3)
  )
  looks = {'shrink': shrink, **_targets(hands, config)}
  return train(
    stage,
    config,
    hands=hands,
    mesh=mesh,
    step=detect.make_step(
      model, tx, augment=hand_settings.augmentation(config), **looks
    ),
    state=state,
    section=section,
    description=description,
    preprocess=hand_networks.HandInput(image_size=side),
    **until(config, hands, section, model, **looks),
  )


def train_student(hands, mesh, stage, config, *, key=None, **teachers):
  """Trains a student; without teachers it is the control.

  Args:
    hands, mesh, stage: as of `train_teacher`.
    config: with `SECTIONS` and `student`.
    key: of initial weights, order and augmentation, in place of the stage's.
    **teachers: export directories by name.

  Returns:
    Metrics: {'params', 'ended'}.
  """
  if key is not None:
    stage = dataclasses.replace(stage, key=key)
  description = hand_settings.describe(config, 'student', hands.classes)
  model, tx = (
    hand_networks.build(description),
    hand_settings.optimiser(config.train),
  )
  read = {name: hand_networks.load(path) for name, path in teachers.items()}
  models = {name: teacher.model for name, teacher in read.items()}
  side = hand_settings.shown(config)
  shrink = config.resolution.factor
  state = two_teachers.create_state(
    model,
    tx,
    jax.random.fold_in(stage.key, _INIT),
    input_shape=(side, side, 3),
    teachers=models,
    shrink=shrink,
  )
  if config.train.start:
    state = _start(state, config.train.start, description)
  looks = {'shrink': shrink, **_targets(hands, config)}
  step = two_teachers.make_step(
    model,
    tx,
    teachers=models,
    augment=hand_settings.augmentation(config),
    level=config.resolution.level,
    # The control learns from labels, whatever the others learn from.
    truth_weight=config.loss.truth if teachers else 1.0,
    teacher_weights=[
      weight if name in teachers else 0.0
      for name, weight in zip(
        two_teachers.TEACHERS, config.loss.teachers, strict=True
      )
    ],
    form=config.loss.form,
    below=config.loss.below,
    **looks,
  )
  return train(
    stage,
    config,
    hands=hands,
    mesh=mesh,
    step=step,
    state=state,
    section=config.train,
    description=description,
    preprocess=hand_networks.HandInput(image_size=side // shrink),
    frozen={name: teacher.variables for name, teacher in read.items()},
    **until(config, hands, config.train, model, **looks),
  )


def _targets(hands, config):
  """How boxes become maps, and what counts of them."""
  return {
    'radius': config.loss.radius,
    'cells': config.loss.cells,
    'weights': hand_settings.term_weights(hands),
  }


def until(config, hands, section, model, *, replays=1, **looks):
  """Stop rules of `train`, from the section `stop` of a config.

  Args:
    config: with `SECTIONS`.
    hands: `hand_images.HandImages`.
    section: `train` of the config, or as it holds for teachers.
    model, replays: the detector, and the steps with each batch.
    **looks: as `detect.make_loss`.

  Returns:
    {'evals', 'stop'} of `train`; evaluations are 'held_out/loss', by labels.
  """
  return ending.by_loss(
    config.stop,
    detect.make_loss(
      model, augment=hand_settings.augmentation(config), **looks
    ),
    training=hands.training,
    held_out=hands.held_out,
    batch_size=section.batch_size,
    replays=replays,
  )


def check_start(config, classes):
  """Checks what students start from before anything is trained.

  Args:
    config: with `SECTIONS` and `student`.
    classes: names.

  Raises:
    ValueError, OSError: the export is damaged or of another network.
  """
  if config.train.start:
    _read_start(
      config.train.start, hand_settings.describe(config, 'student', classes)
    )


def _read_start(directory, description):
  """The network of this description that an export holds."""
  network = hand_networks.load(directory)
  mine, theirs = (
    {k: v for k, v in sizes.items() if k not in described.NOT_OF_WEIGHTS}
    for sizes in (description, network.description)
  )
  if theirs != mine:
    key = next(
      key for key in {**mine, **theirs} if theirs.get(key) != mine.get(key)
    )
    raise ValueError(
      f'--config.train.start={directory} has another {key}: '
      f'{theirs.get(key)}, not {mine.get(key)}'
    )
  return network


def _start(state, directory, description):
  """`state` with the weights of an export of the same network."""
  network = _read_start(directory, description)
  return state.replace(
    params={**state.params, **network.params}, stats=network.stats
  )


def train(
  stage,
  config,
  *,
  hands,
  mesh,
  step,
  state,
  section,
  description,
  preprocess,
  batches=None,
  kept=dict,
  frozen=None,
  evals=None,
  stop=(),
):
  """Trains a detector from a state and exports it.

  Args:
    stage: `engine.stage.Stage`.
    config: with `SECTIONS`.
    hands: `hand_images.HandImages`.
    mesh: devices.
    step: pure step on batches of hands.
    state: `TrainState`, params {'detector', …}; only the detector is exported.
    section: {'batch_size', 'steps', 'ckpt_every'}.
    description: `hand_settings.describe`.
    preprocess: `hand_networks.HandInput` of the export.
    batches: start → iterator, in place of those of the stage's key.
    kept: `state.stats` → the collections that are exported.
    frozen: pytree that the steps read.
    evals, stop: see `loop.fit` and `until`.

  Returns:
    Metrics: {'params', 'ended'}.
  """
  if batches is None:
    data = streams.DeviceSet(
      hands.training, sharding=meshes.batch_sharding(mesh)
    )
    batches = data.batches(
      section.batch_size,
      seed=streams.seed_of(jax.random.fold_in(stage.key, _BATCHES)),
    )
  state, ended = loop.fit(
    loop.always(meshes.jit_step(step, mesh)),
    state,
    frozen=frozen,
    batches=batches,
    num_steps=section.steps,
    key=jax.random.fold_in(stage.key, _TRAIN),
    workdir=stage.workdir,
    mesh=mesh,
    name=stage.name,
    profile=stage.profile,
    ckpt_every=section.ckpt_every,
    log_every=config.log_every,
    evals=evals,
    eval_every=config.stop.every,
    stop=stop,
  )
  state = jax.device_get(state)
  params = state.params['detector']
  exports.save(
    stage.export,
    variables={'params': params, **kept(state.stats)},
    model={**description, 'ended': ended},
    preprocess=preprocess.to_json(),
  )
  count = sum(leaf.size for leaf in jax.tree.leaves(params))
  return {'params': int(count), 'ended': ended}

"""A hand detector in a recipe: trained and exported."""

import dataclasses
import pathlib
from typing import NamedTuple

import jax
import ml_collections

from palmjax.data import streams
from palmjax.data.augment import boxes as box_augment
from palmjax.engine import loop, optim
from palmjax.engine import mesh as meshes
from palmjax.losses import detection
from palmjax.networks import export as exports
from palmjax.networks import hand as hand_networks
from palmjax.recipes.shared import ending, hand_images
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
# What an export says of its training and not of its network.
_OF_TRAINING = ('batch_norm_momentum', 'ended')


class HandRun(NamedTuple):
  """What the report of a recipe shows."""

  config: ml_collections.ConfigDict
  hands: hand_images.HandImages
  workdir: pathlib.Path


def describe(config, name, classes):
  """What a detector of a recipe is made of, plain values.

  Args:
    config: of configs/gesture.py.
    name: 'teacher1', 'teacher2' or an arm.
    classes: names.
  """
  larger = name == 'teacher2'
  section = config.teacher1 if name == 'teacher1' else config.student
  return {
    'name': 'detector',
    'classes': list(classes),
    'width': section.width,
    'depth': section.depth,
    'level': config.resolution.level,
    'factor': config.resolution.factor if larger else 1,
    'dtype': config.dtype,
    'batch_norm_momentum': config.batch_norm_momentum,
  }


def optimiser(config):
  """AdamW as the section `train` of a config describes it."""
  return optim.adamw(
    config.learning_rate,
    num_steps=config.steps,
    warmup_steps=config.warmup_steps,
    weight_decay=config.weight_decay,
    max_norm=config.max_norm,
    schedule=config.schedule,
    plateau=optim.Plateau(**config.plateau.to_dict()),
  )


def of_teachers(config):
  """The section `train` of a config as it holds for teachers."""
  train = ml_collections.ConfigDict(config.train.to_dict())
  train.steps = config.teachers.steps or train.steps
  return train


def augmentation(config):
  """Of the training images, see `data.augment.boxes.make_augment`."""
  return box_augment.make_augment(
    **config.augment.to_dict(), size=_shown(config)
  )


def _shown(config):
  """Side of the images that a step makes of those of the training."""
  return config.image_size * config.resolution.factor


def term_weights(hands):
  """Weights of the head's terms: 0 for what no training image shows.

  A network that was shown no palm frame says anything of frames, and a student
  would learn that.
  """
  if hands.training['framed'].any():
    return detection.WEIGHTS
  return {**detection.WEIGHTS, **dict.fromkeys(detection.OF_PALM_FRAMES, 0.0)}


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
  section = of_teachers(config)
  description = describe(config, name, hands.classes)
  model, tx = hand_networks.build(description), optimiser(section)
  shrink = 1 if name == 'teacher2' else config.resolution.factor
  side = _shown(config) // shrink
  state = detect.create_state(
    model, tx, jax.random.fold_in(stage.key, _INIT), input_shape=(side, side, 3)
  )
  looks = {'shrink': shrink, **_targets(hands, config)}
  return train(
    stage,
    config,
    hands=hands,
    mesh=mesh,
    step=detect.make_step(model, tx, augment=augmentation(config), **looks),
    state=state,
    section=section,
    description=description,
    side=side,
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
  description = describe(config, 'student', hands.classes)
  model, tx = hand_networks.build(description), optimiser(config.train)
  read = {name: exports.load(path) for name, path in teachers.items()}
  models = {
    name: hand_networks.build(found.model) for name, found in read.items()
  }
  side = _shown(config)
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
    augment=augmentation(config),
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
    side=side // shrink,
    frozen={name: found.variables for name, found in read.items()},
    **until(config, hands, config.train, model, **looks),
  )


def _targets(hands, config):
  """How boxes become maps, and what counts of them."""
  return {
    'radius': config.loss.radius,
    'cells': config.loss.cells,
    'weights': term_weights(hands),
  }


def until(config, hands, section, model, **looks):
  """What ends `train` as the section `stop` of a config says.

  Args:
    config: with `SECTIONS`.
    hands: `hand_images.HandImages`.
    section: `train` of the config, or as it holds for teachers.
    model: the detector.
    **looks: as `detect.make_loss`.

  Returns:
    {'evals', 'stop'} of `train`; evaluations are 'held_out/loss', by labels.
  """
  return ending.by_loss(
    config.stop,
    detect.make_loss(model, augment=augmentation(config), **looks),
    training=hands.training,
    held_out=hands.held_out,
    batch_size=section.batch_size,
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
    _read_start(config.train.start, describe(config, 'student', classes))


def _read_start(directory, description):
  """The export of the network of this description."""
  found = exports.load(directory)
  mine, theirs = (
    {k: v for k, v in sizes.items() if k not in _OF_TRAINING}
    for sizes in (description, found.model)
  )
  if theirs != mine:
    key = next(
      key for key in {**mine, **theirs} if theirs.get(key) != mine.get(key)
    )
    raise ValueError(
      f'--config.train.start={directory} has another {key}: '
      f'{theirs.get(key)}, not {mine.get(key)}'
    )
  return found


def _start(state, directory, description):
  """`state` with the weights of an export of the same network."""
  stats = dict(_read_start(directory, description).variables)
  params = {**state.params, 'detector': jax.device_put(stats.pop('params'))}
  return state.replace(params=params, stats=jax.device_put(stats))


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
  side,
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
    description: `describe`.
    side: of the network's input.
    frozen: pytree that the steps read.
    evals, stop: see `loop.fit` and `until`.

  Returns:
    Metrics: {'params', 'ended'}.
  """
  data = streams.DeviceSet(hands.training, sharding=meshes.batch_sharding(mesh))
  state, ended = loop.fit(
    loop.always(meshes.jit_step(step, mesh)),
    state,
    frozen=frozen,
    batches=data.batches(
      section.batch_size,
      seed=streams.seed_of(jax.random.fold_in(stage.key, _BATCHES)),
    ),
    num_steps=section.steps,
    key=jax.random.fold_in(stage.key, _TRAIN),
    workdir=stage.workdir,
    mesh=mesh,
    name=stage.name,
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
    variables={'params': params, **state.stats},
    model={**description, 'ended': ended},
    preprocess={
      'image_size': side,
      'channels': 'rgb',
      'value_range': [-1.0, 1.0],
      'fit': 'whole image, proportions kept, centred in a square, grey around',
    },
  )
  count = sum(leaf.size for leaf in jax.tree.leaves(params))
  return {'params': int(count), 'ended': ended}

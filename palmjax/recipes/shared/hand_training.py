"""A hand detector in a recipe: trained and exported."""

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
from palmjax.recipes.shared import hand_images
from palmjax.steps import detect, two_teachers

# Streams of a stage's key.
_INIT, _TRAIN, _BATCHES = range(3)


class Run(NamedTuple):
  """What every stage of the recipe may read."""

  config: ml_collections.ConfigDict
  hands: hand_images.HandImages
  mesh: jax.sharding.Mesh
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
  }


def optimiser(config):
  """AdamW as the section `train` of a config describes it."""
  return optim.adamw(
    config.learning_rate,
    num_steps=config.steps,
    warmup_steps=config.warmup_steps,
    weight_decay=config.weight_decay,
    max_norm=config.max_norm,
  )


def of_teachers(config):
  """The section `train` of a config as it holds for teachers."""
  train = ml_collections.ConfigDict(config.train)
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


def term_weights(run):
  """Weights of the head's terms: 0 for what no training image shows.

  A network that was shown no palm frame says anything of frames, and a student
  would learn that.
  """
  if run.hands.training['framed'].any():
    return detection.WEIGHTS
  return {**detection.WEIGHTS, **dict.fromkeys(detection.OF_PALM_FRAMES, 0.0)}


def train_teacher(run, directory, export, key, *, name):
  """Trains a teacher on the labels alone and exports it."""
  config = run.config
  train = of_teachers(config)
  description = describe(config, name, run.hands.classes)
  model, tx = hand_networks.build(description), optimiser(train)
  shrink = 1 if name == 'teacher2' else config.resolution.factor
  side = _shown(config) // shrink
  state = detect.create_state(
    model, tx, jax.random.fold_in(key, _INIT), input_shape=(side, side, 3)
  )
  step = detect.make_step(
    model,
    tx,
    augment=augmentation(config),
    shrink=shrink,
    radius=config.loss.radius,
    cells=config.loss.cells,
    weights=term_weights(run),
  )
  return _fit(
    run,
    directory,
    export,
    key,
    step,
    state,
    train=train,
    frozen=None,
    description=description,
    side=side,
  )


def train_student(run, directory, export, key, **teachers):
  """Trains a student; without teachers it is the control.

  Args:
    run: `Run`.
    directory: of the stage.
    export: directory of the result.
    key: random key: initial weights, order and augmentation.
    **teachers: export directories by name.

  Returns:
    Metrics: {'params'}.
  """
  config = run.config
  description = describe(config, 'student', run.hands.classes)
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
    jax.random.fold_in(key, _INIT),
    input_shape=(side, side, 3),
    teachers=models,
    shrink=shrink,
  )
  if config.train.start:
    state = _start(state, config.train.start, description)
  step = two_teachers.make_step(
    model,
    tx,
    teachers=models,
    augment=augmentation(config),
    shrink=shrink,
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
    radius=config.loss.radius,
    cells=config.loss.cells,
    weights=term_weights(run),
  )
  frozen = {name: found.variables for name, found in read.items()}
  side //= shrink
  return _fit(
    run,
    directory,
    export,
    key,
    step,
    state,
    train=config.train,
    frozen=frozen,
    description=description,
    side=side,
  )


def _start(state, directory, description):
  """`state` with the weights of an export of the same network."""
  found = exports.load(directory)
  stats = dict(found.variables)
  if found.model != description:
    key = next(
      key
      for key in {**description, **found.model}
      if found.model.get(key) != description.get(key)
    )
    raise ValueError(
      f'--config.train.start={directory} has another {key}: '
      f'{found.model.get(key)}, not {description.get(key)}'
    )
  params = {**state.params, 'detector': jax.device_put(stats.pop('params'))}
  return state.replace(params=params, stats=jax.device_put(stats))


def _fit(
  run, directory, export, key, step, state, *, train, frozen, description, side
):
  data = streams.DeviceSet(
    run.hands.training, sharding=meshes.batch_sharding(run.mesh)
  )
  state, ended = loop.fit(
    loop.always(meshes.jit_step(step, run.mesh)),
    state,
    frozen=frozen,
    batches=data.batches(
      train.batch_size,
      seed=streams.seed_of(jax.random.fold_in(key, _BATCHES)),
    ),
    num_steps=train.steps,
    key=jax.random.fold_in(key, _TRAIN),
    workdir=run.workdir,
    mesh=run.mesh,
    name=directory.name,
    ckpt_every=train.ckpt_every,
    log_every=run.config.log_every,
  )
  state = jax.device_get(state)
  params = state.params['detector']
  exports.save(
    export,
    variables={'params': params, **state.stats},
    model=description,
    preprocess={
      'image_size': side,
      'channels': 'rgb',
      'value_range': [-1.0, 1.0],
      'fit': 'whole image, proportions kept, centred in a square, grey around',
    },
  )
  return {'params': int(sum(leaf.size for leaf in jax.tree.leaves(params)))}

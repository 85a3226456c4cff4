"""Settings of a hand detector in a config: sizes, optimiser, images."""

import ml_collections

from palmjax.data.augment import boxes as box_augment
from palmjax.engine import optim
from palmjax.losses import detection


def describe(config, name, classes):
  """Description of the detector of a recipe, plain values.

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
    plateau=optim.RateDecay(**config.plateau.to_dict()),
  )


def of_teachers(config):
  """The section `train` of a config as it holds for teachers."""
  train = ml_collections.ConfigDict(config.train.to_dict())
  train.steps = config.teachers.steps or train.steps
  return train


def augmentation(config):
  """Of the training images, see `data.augment.boxes.make_augment`."""
  return box_augment.make_augment(
    **config.augment.to_dict(), size=shown(config)
  )


def shown(config):
  """Side of the images that a step makes of those of the training."""
  larger = config.resolution.factor if 'resolution' in config else 1
  return config.image_size * larger


def term_weights(hands):
  """Weights of the head's terms: 0 for what no training image shows.

  A network that was shown no palm frame says anything of palm frames, and a
  student would learn that.
  """
  if hands.training['framed'].any():
    return detection.WEIGHTS
  return {**detection.WEIGHTS, **dict.fromkeys(detection.OF_PALM_FRAMES, 0.0)}

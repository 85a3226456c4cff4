"""Every train step of palmjax, ready to be timed, on noise.

Sizes are those of the recipes. Images are noise and networks fresh: both time
alike, and drawing would take longer than the steps.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from configs import distill as distill_config
from configs import gesture as gesture_config
from configs import metric as metric_config
from configs import ssl as ssl_config
from launch.bench import perturbed
from palmjax.data.augment import palms as palm_augment
from palmjax.data.hands import hands
from palmjax.losses import metric as metric_losses
from palmjax.models import exits, heads
from palmjax.networks import hand as hand_networks
from palmjax.networks import palm_frame as palm_frame_networks
from palmjax.recipes.distill import training as distill_training
from palmjax.recipes.gesture import palm_frame as palm_frame_recipe
from palmjax.recipes.metric import losses as recipe_losses
from palmjax.recipes.shared import hand_settings, palm_training
from palmjax.recipes.ssl import checks as ssl_checks
from palmjax.recipes.ssl import gan as ssl_gan
from palmjax.steps import (
  classify,
  detect,
  distill,
  metric,
  palm_frame,
  self_distill,
  soft_label,
  two_teachers,
)

_KEYS = jax.random.split(jax.random.key(0), 4)


class Step(NamedTuple):
  """A step and what it is called with: (state, frozen, batch).

  Attributes:
    name: what the line is called, with the side of the images.
    step: pure step.
    state, frozen, batch: its arguments.
    dtype: of the network's activations.
  """

  name: str
  step: Callable
  state: Any
  frozen: Any
  batch: dict
  dtype: str


def every(variant='', size=None):
  """Yields all train steps but those on perturbed images, one by one.

  Args:
    variant: '' or 'smoke': of the configurations.
    size: side of the images in place of that of a configuration.
  """
  yield from recognition(config_of(ssl_config, variant, size))
  yield metric_learning(config_of(metric_config, variant, size))
  yield from gan(config_of(ssl_config, variant, size))
  yield from detection(config_of(gesture_config, variant, size))
  yield from distillation(config_of(distill_config, variant, size))


def recognition(config):
  """Yields the steps of CNN-1 and of CNN-2, of configs/ssl.py."""
  model, tx, options, state = _palm_network(config)
  size, count = config.image_size, config.cnn.batch_size
  logits_fn = metric_losses.softmax_logits
  yield Step(
    f'recognition, {size} px',
    classify.make_step(model, tx, logits_fn=logits_fn, **options),
    state,
    None,
    _labelled(count, size),
    config.network.dtype,
  )
  generated = ssl_checks.generated_per_batch(config)
  classes = config.labelled.identities
  yield Step(
    f'soft labels, {size} px',
    soft_label.make_step(
      model,
      tx,
      weight=config.soft.weight,
      augment_generated=config.soft.augment,
      **options,
    ),
    state,
    None,
    {
      **_labelled(count - generated, size),
      'generated': noise(generated, size),
      'soft': np.full((generated, classes), 1 / classes, np.float32),
    },
    config.network.dtype,
  )


def metric_learning(config):
  """The step of configs/metric.py, with its loss."""
  count = config.cnn.identities * config.cnn.images
  model, tx, options, state = _palm_network(
    config, create_state=metric.create_state
  )
  losses = recipe_losses.losses(config.loss.to_dict())
  return Step(
    f'{config.network.name}, {config.loss.name}, {config.image_size} px',
    metric.make_step(model, tx, **losses, **options),
    state,
    None,
    _labelled(count, config.image_size),
    config.network.dtype,
  )


def gan(config):
  """Yields the four updates of the GAN of configs/ssl.py."""
  _, state, steps = ssl_gan.build(config, _KEYS[0])
  batch = {'image': noise(config.gan.batch_size, config.image_size)}
  for name, step in steps._asdict().items():
    yield Step(
      f'gan {name}, {config.image_size} px',
      step,
      state,
      None,
      batch,
      config.gan.dtype,
    )


def detection(config):
  """Yields the steps of configs/gesture.py: teacher, student, frame reader."""
  factor, side = config.resolution.factor, hand_settings.shown(config)
  tx = hand_settings.optimiser(config.train)
  models = {
    name: hand_networks.build(
      hand_settings.describe(config, name, hands.GESTURES)
    )
    for name in ('teacher1', 'teacher2', 'student')
  }
  student = models.pop('student')
  shown = {'teacher1': side // factor, 'teacher2': side}
  states = {
    name: detect.create_state(
      model, tx, _KEYS[0], input_shape=(shown[name], shown[name], 3)
    )
    for name, model in models.items()
  }
  batch = perturbed.annotated_noise(config.train.batch_size, side)
  options = {
    'augment': hand_settings.augmentation(config),
    'shrink': factor,
    'radius': config.loss.radius,
    'cells': config.loss.cells,
  }
  yield Step(
    f'teacher 1, {side // factor} px',
    detect.make_step(models['teacher1'], tx, **options),
    states['teacher1'],
    None,
    batch,
    config.dtype,
  )
  yield Step(
    f'student of two teachers, {side // factor} px',
    two_teachers.make_step(
      student,
      tx,
      teachers=models,
      level=config.resolution.level,
      truth_weight=config.loss.truth,
      teacher_weights=config.loss.teachers,
      form=config.loss.form,
      below=config.loss.below,
      **options,
    ),
    two_teachers.create_state(
      student,
      tx,
      _KEYS[1],
      input_shape=(side, side, 3),
      teachers=models,
      shrink=factor,
    ),
    {
      name: {'params': state.params['detector'], **state.stats}
      for name, state in states.items()
    },
    batch,
    config.dtype,
  )
  section = config.palm_frame
  model = palm_frame_networks.build(
    {
      'width': section.width,
      'dtype': config.dtype,
      'batch_norm_momentum': config.batch_norm_momentum,
    }
  )
  tx = hand_settings.optimiser(section)
  yield Step(
    f'frame reader, {section.image_size} px',
    palm_frame.make_step(model, tx, crops=palm_frame_recipe.crops(config)),
    palm_frame.create_state(
      model, tx, _KEYS[2], input_shape=(section.image_size,) * 2 + (3,)
    ),
    None,
    perturbed.annotated_noise(section.batch_size, side),
    config.dtype,
  )


def distillation(config):
  """Yields the steps of configs/distill.py: of the server, of the device."""
  names = distill_training.TEACHER, distill_training.STUDENT
  of_teacher, of_student = (
    distill_training.of_network(config, name) for name in names
  )
  logits_fn = palm_training.logits_fn(
    {'loss': 'arcface', **config.loss.to_dict()}
  )
  teacher, _, options, taught = _palm_network(of_teacher)
  model, tx, mine, state = _palm_network(of_student)
  size, count = config.image_size, of_student.cnn.batch_size
  options = {
    'teacher': teacher,
    'teacher_logits_fn': logits_fn,
    'teacher_preprocess': options['preprocess'],
    'logits_fn': logits_fn,
    **mine,
  }
  batch = _labelled(count, size)
  more = {'unlabelled': noise(config.distill.unlabelled, size)}
  yield Step(
    f'distillation, {size} px',
    distill.make_step(model, tx, **options),
    state,
    {'teacher': {'params': taught.params, **taught.stats}},
    batch | more,
    of_student.network.dtype,
  )
  yield Step(
    f'self-distillation, {size} px',
    self_distill.make_step(model, tx, logits_fn=logits_fn, **mine),
    state,
    None,
    batch,
    of_student.network.dtype,
  )


def noise(count, size):
  """Images uint8 [count, size, size, 3]."""
  shape = (count, size, size, 3)
  return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def config_of(module, variant, size):
  """Configuration of a variant, with images of another size if it is given."""
  config = module.get_config(variant)
  config.image_size = size or config.image_size
  return config


def _labelled(count, size):
  return {'image': noise(count, size), 'label': np.zeros(count, np.int32)}


def _palm_network(config, *, create_state=classify.create_state):
  """(model, optimiser, {'preprocess', 'augment'}, state) of a config."""
  model, spec = palm_training.build(config)
  tx = palm_training.optimiser(config.cnn)
  classes = config.labelled.identities or 1000
  if 'exit' in config.network:
    model = model.clone(until=None)
    head = exits.init_heads(_KEYS[3], classes, model)
  else:
    head = heads.init_head(_KEYS[3], classes, model.embedding_size)
  state = create_state(model, tx, _KEYS[0], input_shape=spec.shape, head=head)
  options = {
    'preprocess': spec.apply,
    'augment': palm_augment.make_augment(**config.augment.to_dict()),
  }
  return model, tx, options, state

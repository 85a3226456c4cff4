"""Training of the recipe `distill`: a teacher, and students of equal starts.

  teacher             ArcFace on the labelled palms (step S1)
  student_alone       the same loss for every exit, without a teacher
  student_distilled   and the teacher's logits and embeddings (S2)
  student_placebo     as student_distilled, but its teacher is student_alone

The students have equal first weights, labelled batches and steps. The two
that are taught also see palms without labels, which `student_alone` cannot
use. The placebo shows what any teacher gives, even one that knows no more than
a student.
"""

import dataclasses
import functools

import jax
import numpy as np

from palmjax.data import streams
from palmjax.engine import mesh as meshes
from palmjax.networks import palm as palm_networks
from palmjax.networks import shipped
from palmjax.recipes.shared import (
  config_keys,
  palm_start,
  palm_training,
  sections,
)
from palmjax.steps import classify, distill, self_distill

TEACHER, STUDENT = 'teacher', 'student'
ALONE, DISTILLED, PLACEBO = (
  'student_alone',
  'student_distilled',
  'student_placebo',
)
# Students, in the order of their training, and the stages that teach them.
TEACHERS = {ALONE: None, DISTILLED: TEACHER, PLACEBO: ALONE}
# Sections of a config that a training reads.
SECTIONS = (
  'image_size',
  'preprocess',
  'augment',
  'loss',
  'stop',
  'log_every',
)
# Streams of a stage's key.
_LABELLED, _UNLABELLED = range(100, 102)


def of_network(config, name):
  """The config as a network's training reads it.

  Args:
    config: with `SECTIONS` and the section `name`.
    name: `TEACHER` or `STUDENT`.

  Returns:
    ConfigDict with `palm_training.SECTIONS`; the exit of a student has its
    number, and weights to start from their folder.
  """
  config = sections.of(config, name)
  if name == STUDENT:
    with config_keys.named('network'):
      backbone = palm_networks.build(
        {k: v for k, v in config.network.items() if k != 'exit'}
      )
    config.network.exit = config.network.exit or backbone.num_exits
  elif config.cnn.start == 'shipped':
    config.cnn.start = str(shipped.PALM)
  return config


def train_teacher(palms, others, stage, config, *, mesh):
  """Step S1.

  Args:
    palms: `palm_images.PalmImages`.
    others: `strangers.Strangers` that thresholds are set on.
    mesh: devices.
    stage: `engine.stage.Stage`.
    config: with `SECTIONS` and the section 'teacher'.

  Returns:
    Metrics of `palm_training.train`.
  """
  config = of_network(config, TEACHER)

  def create_state(*args, **sizes):
    state = classify.create_state(*args, **sizes)
    if not config.cnn.start:
      return state
    return palm_start.from_export(state, config, config.cnn.start)

  make_step = functools.partial(
    classify.make_step, logits_fn=palm_training.logits_fn(_loss(config))
  )
  return _train(
    (palms, others, mesh, stage, config), make_step, create_state=create_state
  )


def train_student(palms, others, stage, config, *, mesh, key, teacher=None):
  """Steps S2 and S3: what the device gets, or what it is compared with.

  Args:
    palms, others, mesh, stage: as for `train_teacher`.
    config: with `SECTIONS` and the sections 'student' and 'distill'.
    key: of first weights and steps, the same for every arm.
    teacher: export of what teaches it, if anything does.

  Returns:
    Metrics of `palm_training.train`.
  """
  stage = dataclasses.replace(stage, key=key)
  config = of_network(config, STUDENT)
  logits_fn = palm_training.logits_fn(_loss(config))
  if teacher is None:
    make_step = functools.partial(
      self_distill.make_step, logits_fn=logits_fn, alpha=0.0, beta=0.0
    )
    return _train((palms, others, mesh, stage, config), make_step)
  network = palm_networks.load(teacher)
  make_step = functools.partial(
    distill.make_step,
    teacher=network.model,
    teacher_logits_fn=palm_networks.free_logits(network.description),
    teacher_preprocess=network.preprocess.apply,
    logits_fn=logits_fn,
    **{k: v for k, v in config.distill.items() if k != 'unlabelled'},
  )
  return _train(
    (palms, others, mesh, stage, config),
    make_step,
    frozen={'teacher': {'params': network.params, **network.stats}},
    unlabelled=config.distill.unlabelled,
  )


def one_of_each(part):
  """The first image of each identity of a `palm_images.Part`."""
  _, first = np.unique(part.labels, return_index=True)
  return part.images[first]


def _loss(config):
  return {'loss': 'arcface', **config.loss.to_dict()}


def _train(
  run,
  make_step,
  *,
  create_state=classify.create_state,
  frozen=None,
  unlabelled=0,
):
  palms, others, mesh, stage, config = run
  part, batch_size = palms.labelled, config.cnn.batch_size
  batches = _stream(
    {'image': part.images, 'label': part.labels},
    batch_size,
    jax.random.fold_in(stage.key, _LABELLED),
    mesh,
  )
  if unlabelled and len(palms.unlabelled):
    more = _stream(
      {'unlabelled': palms.unlabelled},
      unlabelled,
      jax.random.fold_in(stage.key, _UNLABELLED),
      mesh,
    )
    batches = streams.merge(batches, more)
  return palm_training.train(
    stage,
    config,
    mesh=mesh,
    classes=len(part.identities),
    make_step=make_step,
    create_state=create_state,
    batches=batches,
    loss=_loss(config),
    frozen=frozen,
    strangers=others,
    **palm_training.until(config, palms, batch_size),
  )


def _stream(arrays, batch_size, key, mesh):
  data = streams.DeviceSet(arrays, sharding=meshes.batch_sharding(mesh))
  return data.batches(batch_size, seed=streams.seed_of(key))

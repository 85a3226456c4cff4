"""An arm of the recipe `robust` with palms: a network that goes on training."""

import dataclasses

import jax

from palmjax.data.augment import palms as palm_augment
from palmjax.models import batch_norm
from palmjax.networks import palm as palm_networks
from palmjax.networks import shipped
from palmjax.recipes.robust import training
from palmjax.recipes.shared import palm_training
from palmjax.steps import classify, perturbed_tasks

# Sections of a config that `train` reads.
SECTIONS = (*palm_training.SECTIONS, 'loss', 'perturb')
# Stream of an arm's key, beside those of `palm_training`.
_BATCHES = 100
# What an export says of its network, and a config in its section `network`.
_NETWORK = ('name', 'width', 'embedding_size', 'attention')


def folder(config):
  """Export folder that `start` of a config names; '' for random weights."""
  return str(shipped.PALM) if config.start == 'shipped' else config.start


def read_start(config):
  """Loads the network to be trained (claim 1).

  Args:
    config: of `sections.of`; its `network` and `preprocess` become those of
      the export.

  Returns:
    `networks.palm.PalmNetwork`; None: random weights.

  Raises:
    ValueError, OSError: the export is damaged, of another kind of network, or
      reads palms of another size.
  """
  if not config.start:
    return None
  network = palm_networks.load(folder(config))
  spec = network.preprocess
  if spec.image_size != config.image_size:
    raise ValueError(
      f'--config.start={config.start} reads palms of {spec.image_size} px: '
      f'give --config.image_size={spec.image_size}'
    )
  config.network.update(
    {key: network.description[key] for key in _NETWORK},
    batch_norm_momentum=batch_norm.momentum_of(network.description),
  )
  config.preprocess.update(channels=spec.channels, contrast=spec.contrast)
  _, rebuilt = palm_training.build(config, comparison=spec.metric)
  if rebuilt != spec:
    raise ValueError(
      f'--config.start={config.start} prepares its palms with other numbers '
      'than this version: train it again'
    )
  return network


def palm_task(network, config):
  """`perturbed_tasks.Task` of a trained network, as it was trained."""
  return perturbed_tasks.recogniser(
    network.model,
    preprocess=network.preprocess.apply,
    augment=palm_augment.make_augment(**config.augment.to_dict()),
    logits_fn=palm_training.logits_fn(_loss(config)),
  )


def _loss(config):
  return {'loss': 'arcface', **config.loss.to_dict()}


def train(palms, mesh, start, strangers, stage, config, *, arm, key):
  """Trains an arm from the start, exports it and sets its thresholds.

  Training ends as that of a detector does (claims 1 and 7, see `training`).

  Args:
    palms: `palm_images.PalmImages`.
    mesh: devices.
    start: of `read_start`.
    strangers: `strangers.Strangers`.
    stage: `engine.stage.Stage`.
    config: with `SECTIONS`.
    arm: of `training.ARMS`.
    key: of head, order, augmentation and perturbation, the same for all arms.

  Returns:
    Metrics: as of `palm_training.train`.
  """
  made = training.perturbation(config, arm)
  section, side = config.cnn, config.image_size
  loss = _loss(config)
  logits_fn = palm_training.logits_fn(loss)

  def create_state(*args, **sizes):
    state = classify.create_state(*args, **sizes)
    if start is not None:
      backbone = start.params['backbone']
      state = state.replace(
        params={**state.params, 'backbone': backbone}, stats=start.stats
      )
    return training.create_state(state, made, section, side)

  def make_step(model, tx, **parts):
    task = perturbed_tasks.recogniser(model, logits_fn=logits_fn, **parts)
    return training.make_step(task, tx, made, section)

  return palm_training.train(
    dataclasses.replace(stage, key=key),
    config,
    mesh=mesh,
    classes=len(palms.labelled.identities),
    make_step=make_step,
    create_state=create_state,
    batches=training.batches(
      {'image': palms.labelled.images, 'label': palms.labelled.labels},
      mesh,
      section.batch_size,
      jax.random.fold_in(key, _BATCHES),
      made.replays,
    ),
    loss=loss,
    strangers=strangers,
    **palm_training.until(
      config, palms, section.batch_size, replays=made.replays
    ),
  )

"""A palm network in a recipe: built, trained, exported."""

import functools
import pathlib
from typing import NamedTuple

import jax
import jax.numpy as jnp
import ml_collections

from palmjax.data.augment import palms as palm_augment
from palmjax.engine import loop, optim
from palmjax.engine import mesh as meshes
from palmjax.evals.recognition import error_rates, verification
from palmjax.images import preprocess
from palmjax.losses import metric
from palmjax.models import exits, heads
from palmjax.networks import export as exports
from palmjax.networks import palm as palm_networks
from palmjax.ops import chunks
from palmjax.recipes.shared import (
  calibration,
  config_keys,
  ending,
  palm_images,
)
from palmjax.steps import classify, robust

# Streams of a stage's key.
_INIT, _HEAD, _TRAIN = range(3)
DTYPES = ('float32', 'bfloat16')
# Sections of a config that `train` reads.
SECTIONS = (
  'image_size',
  'preprocess',
  'augment',
  'network',
  'cnn',
  'stop',
  'log_every',
)
MEASURES = ('eer', 'd_prime')


class PalmRun(NamedTuple):
  """Values that the report of a recipe shows."""

  config: ml_collections.ConfigDict
  palms: palm_images.PalmImages
  workdir: pathlib.Path


def build(config, *, comparison='cosine'):
  """The module and the `Preprocess` that a config describes.

  Args:
    config: with `image_size`, `preprocess`, `network`.
    comparison: how two embeddings are compared (`losses.metric.comparison`).
  """
  with config_keys.named('preprocess'):
    spec = preprocess.Preprocess(
      image_size=config.image_size,
      channels=config.preprocess.channels,
      contrast=config.preprocess.contrast,
      metric=comparison,
    )
  with config_keys.named('network'):
    return palm_networks.build(config.network.to_dict()), spec


def logits_fn(loss):
  """The logits of a loss described by {'loss', 'margin', 'scale'}."""
  if loss['loss'] == 'softmax':
    return metric.softmax_logits
  if loss['loss'] == 'arcface':
    return functools.partial(
      metric.arcface_logits, margin=loss['margin'], scale=loss['scale']
    )
  raise ValueError(
    f'--config.cnn.loss={loss["loss"]}: choose softmax or arcface'
  )


def optimiser(config):
  """SGD as the section `cnn` of a config describes it."""
  return optim.sgd(
    config.learning_rate,
    num_steps=config.steps,
    warmup_steps=config.warmup_steps,
    momentum=config.momentum,
    weight_decay=config.weight_decay,
    max_norm=config.max_norm,
    schedule=config.schedule,
    plateau=optim.RateDecay(**config.plateau.to_dict()),
  )


def train(
  stage,
  config,
  *,
  mesh,
  classes,
  make_step,
  batches,
  loss,
  comparison='cosine',
  create_state=classify.create_state,
  init_head=None,
  frozen=None,
  evals=None,
  stop=(),
  strangers=None,
):
  """Trains a network on a stream of batches, exports and calibrates it.

  Args:
    stage: `engine.stage.Stage`; its key is that of the initial weights and of
      the steps.
    config: with `SECTIONS`. With an 'exit' in its `network` all exits are
      trained and exported, and that one is used.
    mesh: devices.
    classes: K, identities that are told apart.
    make_step: (model, tx, *, preprocess, augment) → step.
    batches: start → iterator of batches.
    loss: plain values that describe the loss, kept in the export.
    comparison: how two embeddings are compared.
    create_state: as `classify.create_state`.
    init_head: (key, K, D) → class weights that may be split over devices, and
      that the export lacks; None: those of `models.heads`, exported.
    frozen: pytree that the steps read.
    evals, stop: see `loop.fit` and `until`; evaluated every `config.stop.every`
      steps.
    strangers: `strangers.Strangers` that its thresholds are set on; None: it
      gets none.

  Returns:
    Metrics: {'params', 'classes', 'ended'}.
  """
  model, spec = build(config, comparison=comparison)
  tx = optimiser(config.cnn)
  head_key = jax.random.fold_in(stage.key, _HEAD)
  if 'exit' in config.network:
    model = model.clone(until=None)
    head = exits.init_heads(head_key, classes, model)
  else:
    init = init_head or heads.init_head
    head = init(head_key, classes, model.embedding_size)
  state = create_state(
    model,
    tx,
    jax.random.fold_in(stage.key, _INIT),
    input_shape=spec.shape,
    head=head,
  )
  step = make_step(
    model,
    tx,
    preprocess=spec.apply,
    augment=palm_augment.make_augment(**config.augment.to_dict()),
  )
  state, ended = loop.fit(
    loop.always(
      meshes.jit_step(step, mesh, placed=meshes.shardings(state, mesh))
    ),
    state,
    frozen=frozen,
    batches=batches,
    num_steps=config.cnn.steps,
    key=jax.random.fold_in(stage.key, _TRAIN),
    workdir=stage.workdir,
    mesh=mesh,
    name=stage.name,
    profile=stage.profile,
    ckpt_every=config.cnn.ckpt_every,
    log_every=config.log_every,
    evals=evals,
    eval_every=config.stop.every,
    stop=stop,
  )
  params = dict(state.params)
  if init_head is not None:
    del params['head']
  exports.save(
    stage.export,
    variables=jax.device_get({'params': params, **_collections(state.stats)}),
    model={**config.network.to_dict(), **loss, 'ended': ended},
    preprocess=spec.to_json(),
  )
  if strangers is not None:
    calibration.write(stage.export, strangers)
  count = sum(leaf.size for leaf in jax.tree.leaves(params['backbone']))
  return {'params': int(count), 'classes': classes, 'ended': ended}


def until(config, palms, batch_size, *, comparison='cosine', replays=1):
  """Stop rules of `train`, from the section `stop` of a config.

  Args:
    config: with `SECTIONS`.
    palms: `palm_images.PalmImages`; all pairs of its validation are measured.
    batch_size: labelled images in a batch.
    comparison: as for `train`.
    replays: steps with each batch.

  Returns:
    {'evals', 'stop'} of `train`; evaluations are 'held_out/eer' and
    'held_out/d_prime'.
  """
  steps = ending.epoch_steps(
    len(palms.labelled.labels), batch_size, replays=replays
  )
  stop = ending.rules(config.stop, epoch_steps=steps)
  if not config.stop.measure:
    return {'evals': None, 'stop': stop}
  model, spec = build(config, comparison=comparison)
  embed = jax.jit(palm_networks.make_embedder(model, spec.apply))
  part = palms.validation

  def evaluate(state, step):
    del step
    embeddings = chunks.apply(
      functools.partial(embed, state.params, _collections(state.stats)),
      part.images,
    )
    pair_scores = verification.pair_scores(embeddings, part.labels)
    pairs = pair_scores.genuine, pair_scores.impostor
    return state, {
      f'{ending.PREFIX}eer': error_rates.eer(*pairs),
      f'{ending.PREFIX}d_prime': error_rates.d_prime(*pairs)['value'],
    }

  return {'evals': evaluate, 'stop': stop}


def check_network(config):
  """Raises ValueError where the network of a config cannot be built or fed."""
  check_dtype(config, 'network')
  with config_keys.named('augment'):
    palm_augment.make_augment(**config.augment.to_dict())
  model, spec = build(config)
  with config_keys.named('network'):
    jax.eval_shape(
      lambda key: model.init(key, jnp.zeros((1, *spec.shape)), train=False),
      jax.random.key(0),
    )


def check_dtype(config, section):
  """Raises ValueError where the dtype of a section is none that is trained."""
  name = config[section].dtype
  if name not in DTYPES:
    raise ValueError(
      f'--config.{section}.dtype={name}: choose one of {", ".join(DTYPES)}'
    )


def _collections(stats):
  """What the module itself keeps, and no step beside it."""
  kept = robust.network_stats(stats)
  return {name: value for name, value in kept.items() if name != 'norms'}

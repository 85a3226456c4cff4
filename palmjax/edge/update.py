"""Self-distillation on the device: from kept samples to an updated student.

CN114528937A, claims 1c and 4. The class weights of an exit start as its
embeddings of the enrolled references, so that the first loss already tells the
users apart. Half of each batch is rehearsal: the references, so that captures
stay near what they are compared with, and palms of strangers, so that the space
between users does not fall in (our choice; the claims name the samples alone).
The caller checks what comes out and may keep the old student.
After an update every reference is embedded again, and thresholds are set anew:
two networks have two embedding spaces.
"""

import dataclasses
import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from palmjax.edge import rules
from palmjax.engine import optim, state
from palmjax.losses import metric
from palmjax.models import forward
from palmjax.ops import chunks, pixels
from palmjax.steps import self_distill

# Streams of an update's key: the split, the steps, and the batches of a set.
_SPLIT, _STEPS, _BATCHES = range(3)


class NotFiniteError(ValueError):
  """A loss is not finite: the student is to stay as it was."""


class Samples(NamedTuple):
  """Samples that a device kept.

  Attributes:
    images: uint8 [N, S, S, 3].
    labels: int [N], in 0..K-1, of enrolled users; determined on the device, or
      the most probable one of `soft`.
    soft: float32 [N, K], labels of the server's teacher.
    has_soft: bool [N], whether `soft` counts.
  """

  images: np.ndarray
  labels: np.ndarray
  soft: np.ndarray
  has_soft: np.ndarray

  def take(self, rows):
    """The samples of some rows."""
    return Samples(*(part[rows] for part in self))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
  """What the program of an update is compiled for.

  Attributes:
    learning_rate, momentum: of SGD.
    margin, scale: of the ArcFace loss of an exit.
    temperature, alpha, beta: see `losses.self_distillation`.
    statistics_only: the control that moves BatchNorm's statistics alone.
  """

  learning_rate: float = 0.01
  momentum: float = 0.9
  margin: float = 0.3
  scale: float = 32.0
  temperature: float = 3.0
  alpha: float = 0.3
  beta: float = 2e-4
  statistics_only: bool = False


def update(
  network,
  references,
  samples,
  settings,
  key,
  *,
  strangers,
  augment,
  steps,
  set_size,
  batch_size,
):
  """Trains a student on what its device kept.

  Args:
    network: `networks.palm.PalmNetwork` of `palm.whole`, with exits.
    references: uint8 [K, S, S, 3], one image of each enrolled user.
    samples: `Samples`, at least one.
    settings: `Settings`.
    key: random key of the update.
    strangers: uint8 [W, S, S, 3], one image of each of W others, who are no
      users: classes of their own. May be empty.
    augment: (key, float [B, S, S, 3]) → the same shape.
    steps: updates with each training set.
    set_size: largest number of samples of a set.
    batch_size: B, samples of an update, drawn with replacement, beside B
      images of the rehearsal.

  Returns:
    (`PalmNetwork` with new parameters, {metric: float} of the last step).

  Raises:
    NotFiniteError: as it says.
  """
  tx, step = _compiled(network.model, network.preprocess, settings, augment)
  classes = np.concatenate([references, strangers])
  params = {
    'backbone': network.params['backbone'],
    'head': embed_exits(network, classes),
  }
  rehearsal = one_class_each(classes)
  samples = samples._replace(soft=_widened(samples.soft, len(classes)))
  # The step consumes its state, and the old student may have to come back.
  train_state = state.create(
    *jax.tree.map(jnp.copy, (params, network.stats)), tx
  )
  sets = rules.training_sets(len(samples.labels), set_size, _seed(key, _SPLIT))
  for number, rows in enumerate(sets):
    rng = np.random.default_rng(_seed(key, _BATCHES, number))
    for _ in range(steps):
      chosen = joined(
        samples.take(rng.choice(rows, batch_size)),
        rehearsal.take(rng.choice(len(classes), batch_size)),
      )
      batch = {
        'image': chosen.images,
        'label': chosen.labels.astype(np.int32),
        'soft': chosen.soft,
        'has_soft': chosen.has_soft,
      }
      train_state, metrics = step(
        train_state, None, batch, jax.random.fold_in(key, _STEPS)
      )
    # A parameter that is not finite once is never finite again.
    if not np.isfinite(metrics['loss']):
      raise NotFiniteError(
        f'the loss of training set {number + 1} is not finite; the student '
        'stays as it was'
      )
  trained = dataclasses.replace(
    network,
    params={**network.params, 'backbone': train_state.params['backbone']},
    stats=train_state.stats,
  )
  return trained, {name: float(value) for name, value in metrics.items()}


def one_class_each(images):
  """Images uint8 [N, S, S, 3] as `Samples` of N classes, one of each."""
  count = len(images)
  return Samples(
    images,
    np.arange(count),
    np.zeros((count, count), np.float32),
    np.zeros(count, bool),
  )


def _widened(soft, classes):
  """Soft labels [N, K] as [N, classes]: no sample shows a stranger."""
  return np.pad(soft, ((0, 0), (0, classes - soft.shape[1])))


def joined(*several):
  """All of several `Samples`."""
  return Samples(*map(np.concatenate, zip(*several, strict=True)))


def embed_exits(network, images):
  """Unit embeddings of all exits: float32 [L, N, D].

  Args:
    network: `PalmNetwork` of `palm.whole`, with exits.
    images: uint8 [N, S, S, 3].
  """

  def embed(images):
    embeddings = _embed_exits(
      network.model,
      network.preprocess,
      network.params['backbone'],
      network.stats,
      images,
    )
    return jnp.swapaxes(embeddings, 0, 1)

  return jnp.swapaxes(chunks.apply(embed, images), 0, 1)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _embed_exits(model, preprocess, params, stats, images):
  inputs = preprocess.apply(pixels.to_float(images))
  embeddings = forward.apply_eval(model, params, stats, inputs)
  return embeddings / jnp.linalg.norm(embeddings, axis=-1, keepdims=True)


@functools.cache
def _compiled(model, preprocess, settings, augment):
  """(optimiser, compiled step), which the updates of a device share."""
  tx = optim.sgd(
    settings.learning_rate,
    num_steps=1,  # Not read: the rate is constant.
    warmup_steps=0,
    momentum=settings.momentum,
    weight_decay=0.0,
    max_norm=5.0,
    schedule='constant',
    plateau=None,
  )
  step = self_distill.make_step(
    model,
    tx,
    logits_fn=functools.partial(
      metric.arcface_logits, margin=settings.margin, scale=settings.scale
    ),
    preprocess=preprocess.apply,
    augment=augment,
    temperature=settings.temperature,
    alpha=settings.alpha,
    beta=settings.beta,
    statistics_only=settings.statistics_only,
  )
  return tx, jax.jit(step, donate_argnums=0)


def _seed(key, *streams):
  for stream in streams:
    key = jax.random.fold_in(key, stream)
  return int(jax.random.bits(key, dtype='uint32'))

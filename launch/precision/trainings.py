"""The smallest real trainings of each kind, from any start, in either type."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from palmjax.data.hands import hands
from palmjax.data.palms import palms
from palmjax.engine import mesh as meshes
from palmjax.engine import optim
from palmjax.losses import metric as metric_losses
from palmjax.losses import transport
from palmjax.models import (
  detector,
  discriminator,
  generator,
  heads,
  mobilefacenet,
)
from palmjax.steps import classify, detect, perturb, perturbed_tasks, robust
from palmjax.steps.gan import ada, networks, updates

STEPS = 200
_IDENTITIES, _SAMPLES, _HANDS = 16, 24, 256
_PALM_SIZE, _HAND_SIZE, _BATCH, _HAND_BATCH, _LENGTH = 48, 64, 32, 8, 32
_SCHEDULE = {'num_steps': STEPS, 'warmup_steps': 10}
_LOGITS = functools.partial(metric_losses.arcface_logits, margin=0.1, scale=8.0)


class Training(NamedTuple):
  """A training that can begin anew.

  Attributes:
    create: start → first state; a start is an int.
    weights: state → trained weights, as a list of `TrainState.params`.
    scale: (state, factor) → state with its weights times the factor.
    updates: type → function of an iteration: its jitted updates, each `(state,
      None, batch, key) → (state, metrics)`. They donate nothing.
    images: start → what batches are rows of: {name: [N, …]}.
    batch_size: rows of a batch.
    judged: names of the metrics that are compared.
  """

  create: Callable
  weights: Callable
  scale: Callable
  updates: Callable
  images: Callable
  batch_size: int
  judged: tuple


def key(start, purpose):
  """The random key of a start for one purpose."""
  number = ('images', 'weights', 'head', 'steps').index(purpose)
  return jax.random.fold_in(jax.random.key(start), number)


def _scale(state, factor):
  """A `TrainState` with its weights times a factor."""
  times = functools.partial(jax.tree.map, lambda x: x * factor)
  return state.replace(
    params=times(state.params), ema=state.ema and times(state.ema)
  )


def _same(*arguments):
  return arguments[-1]


_IMAGES = {'preprocess': _same, 'augment': _same}


def _jit(step):
  """Compiled as the recipes do."""
  return meshes.jit_step(step, meshes.make(1), donate=False)


def _of_one_network(create, updates_of, *rest):
  """A `Training` whose state is one `TrainState`."""
  return Training(
    create, lambda state: [state.params], _scale, updates_of, *rest
  )


def _always(make_step):
  @functools.cache
  def updates_of(dtype):
    step = _jit(make_step(dtype))
    return lambda i: (step,)

  return updates_of


@functools.cache
def _palms(start):
  labels = np.repeat(np.arange(_IDENTITIES, dtype=np.int32), _SAMPLES)
  image = palms.draw_batch(
    key(start, 'images'), labels, np.arange(len(labels)), size=_PALM_SIZE
  )
  return {'image': np.asarray(image), 'label': labels}


@functools.cache
def _hands(start):
  drawn = hands.draw_batch(
    key(start, 'images'), np.arange(_HANDS), size=_HAND_SIZE
  )
  return jax.device_get(drawn)


def _backbone(dtype):
  return mobilefacenet.MobileFaceNet(
    embedding_size=_LENGTH, width=0.125, dtype=dtype
  )


def _palm_training(make_step, judged):
  """`Training` on palms; `make_step` takes the network and the optimiser."""
  tx = optim.sgd(
    0.005, momentum=0.9, weight_decay=5e-4, max_norm=5.0, **_SCHEDULE
  )

  def create(start):
    return classify.create_state(
      _backbone(jnp.float32),
      tx,
      key(start, 'weights'),
      input_shape=(_PALM_SIZE, _PALM_SIZE, 3),
      head=heads.init_head(key(start, 'head'), _IDENTITIES, _LENGTH),
    )

  updates_of = _always(lambda dtype: make_step(_backbone(dtype), tx))
  return _of_one_network(create, updates_of, _palms, _BATCH, judged)


def _palm():
  def make_step(model, tx):
    return classify.make_step(model, tx, logits_fn=_LOGITS, **_IMAGES)

  return _palm_training(make_step, ('loss', 'accuracy', 'grad_norm'))


def _perturbed():
  def make_step(model, tx):
    task = perturbed_tasks.recogniser(model, logits_fn=_LOGITS, **_IMAGES)
    solver = functools.partial(transport.sinkhorn, num_iterations=50)
    target = perturb.Perturbation(
      epsilon=4 / 255, step_size=4 / 255, solver=solver
    )
    return robust.make_step(task, tx, target, statistics='joint')

  return _palm_training(
    make_step,
    (
      'loss',
      'clean',
      'perturbed',
      'clean/accuracy',
      'ot/distance',
      'grad_norm',
    ),
  )


def _detector():
  tx = optim.adamw(1e-3, weight_decay=1e-4, max_norm=10.0, **_SCHEDULE)

  def network(dtype):
    return detector.Detector(len(hands.GESTURES), width=0.25, dtype=dtype)

  def create(start):
    return detect.create_state(
      network(jnp.float32),
      tx,
      key(start, 'weights'),
      input_shape=(_HAND_SIZE, _HAND_SIZE, 3),
    )

  updates_of = _always(
    lambda dtype: detect.make_step(network(dtype), tx, augment=_same)
  )
  judged = 'loss', 'loss/class', 'loss/offset', 'loss/size', 'grad_norm'
  return _of_one_network(create, updates_of, _hands, _HAND_BATCH, judged)


def _gan():
  adam = functools.partial(optim.lazy_adam, 0.003, b1=0.0, b2=0.99)
  txs = adam(interval=4), adam(interval=16)

  def pair(dtype):
    sizes = {
      'image_size': 16,
      'fmap_base': 64,
      'fmap_max': 16,
      'dtype': dtype,
    }
    return (
      generator.Generator(latent_size=16, mapping_layers=2, **sizes),
      discriminator.Discriminator(**sizes),
    )

  def images(start):
    # Means of 3 x 3 pixels.
    whole = _palms(start)['image'].reshape(-1, 16, 3, 16, 3, 3)
    return {'image': whole.mean(axis=(2, 4)).astype(np.uint8)}

  def create(start):
    batch = {'image': images(start)['image'][:_BATCH]}
    return networks.create_state(
      *pair(jnp.float32), *txs, batch, key(start, 'weights')
    )

  @functools.cache
  def updates_of(dtype):
    steps = updates.make_steps(
      *pair(dtype), *txs, augment=ada.augment, r1_gamma=0.3
    )
    return updates.schedule(updates.Steps(*map(_jit, steps)))

  sides = 'discriminator', 'generator'
  return Training(
    create,
    lambda state: [state[side].params for side in sides],
    lambda state, factor: (
      state | {side: _scale(state[side], factor) for side in sides}
    ),
    updates_of,
    images,
    _BATCH,
    ('d/loss', 'g/loss', 'd/grad_norm', 'g/grad_norm', 'd/r1'),
  )


KINDS = {
  'palm': _palm,
  'perturbed palm': _perturbed,
  'detector': _detector,
  'gan': _gan,
}

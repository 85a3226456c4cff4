"""What a network learns on perturbed images: hands, or palms told apart.

A task is what `steps.robust` must know of a network: how a batch becomes images
and targets, the forward pass, the loss, and the feature vectors of an image.

The attack computes in float32, whatever the update computes in. Vectors of an
image and of its copy are nearly equal: rounding to bfloat16 moved them 11 to
16 % further apart, and the loss on the images found was 1 to 2 % higher.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp

from palmjax.losses import detection, metric
from palmjax.models import forward
from palmjax.ops import pixels, pool
from palmjax.steps import detect

# Feature vectors of an image that a detector gives.
DETECTOR_VECTORS = ('pooled', 'levels', 'logits', 'flat')


class Task(NamedTuple):
  """Functions of a network in training; all are pure.

  Attributes:
    prepare: (key, batch) → (images float [B, h, w, c] in [−1, 1], targets).
    apply_eval: (params, stats, images) → outputs, by running statistics.
    apply_train: (params, stats, images, key) → (outputs, new statistics).
    attack_eval, attack_train: the same in float32, to find perturbed images.
    loss: (params, outputs, targets) → (scalar, {term: scalar}).
    vectors: outputs → list of float [B, D], each compared by itself.
  """

  prepare: Callable
  apply_eval: Callable
  apply_train: Callable
  attack_eval: Callable
  attack_train: Callable
  loss: Callable
  vectors: Callable


def detector(
  model,
  *,
  augment,
  shrink=1,
  radius='published',
  cells=9,
  weights=detection.WEIGHTS,
  vector='pooled',
):
  """The task of a hand detector.

  Args:
    model: detector, images → (maps, levels), with a `dtype`.
    augment, shrink, radius, cells, weights: as of `detect.make_step`.
    vector: 'pooled' mean of the deepest level on the way down over its cells;
      'levels' such means of all levels; 'logits' of the classes in all cells;
      'flat' the deepest level, cell by cell.

  Returns:
    `Task`; params {'detector': …}.

  Raises:
    ValueError: another vector.
  """
  if vector not in DETECTOR_VECTORS:
    raise ValueError(
      f'vector={vector}: choose one of {", ".join(DETECTOR_VECTORS)}'
    )

  def prepare(key, batch):
    batch = augment(key, batch)
    images = pool.block_mean(pixels.to_float(batch['image']), shrink)
    return images, batch

  def loss(params, outputs, batch):
    del params
    maps, _ = outputs
    targets = detect.targets(maps, batch, radius=radius, cells=cells)
    return detection.detection_loss(maps, targets, weights=weights)

  def vectors(outputs):
    maps, levels = outputs
    # The end of the way down has the fewest cells.
    deepest = min(levels, key=lambda level: level.shape[1] * level.shape[2])
    match vector:
      case 'pooled':
        return [jnp.mean(deepest, axis=(1, 2))]
      case 'levels':
        return [jnp.mean(level, axis=(1, 2)) for level in levels]
      case 'logits':
        return [maps['class'].reshape(len(maps['class']), -1)]
      case 'flat':
        return [deepest.reshape(len(deepest), -1)]

  return Task(
    prepare,
    *_passes(model, 'detector', lambda images: images),
    *_passes(_in_float32(model), 'detector', lambda images: images),
    loss,
    vectors,
  )


def recogniser(model, *, preprocess, augment, logits_fn):
  """The task of a palm network: its embeddings are the feature vectors.

  Args:
    model, preprocess, augment, logits_fn: as of `classify.make_step`.

  Returns:
    `Task`; params {'backbone': …, 'head': [K, D]}. Images are perturbed before
    they are preprocessed.
  """

  def prepare(key, batch):
    images = augment(key, pixels.to_float(batch['image']))
    return images, batch['label']

  def loss(params, embeddings, labels):
    logits = logits_fn(embeddings, params['head'], labels)
    predicted = jnp.argmax(logits_fn(embeddings, params['head'], None), axis=-1)
    return metric.cross_entropy(logits, labels), {
      'accuracy': jnp.mean(predicted == labels)
    }

  return Task(
    prepare,
    *_passes(model, 'backbone', preprocess),
    *_passes(_in_float32(model), 'backbone', preprocess),
    loss,
    lambda embeddings: [embeddings],
  )


def _in_float32(model):
  """The same network, for the same parameters, that computes in float32."""
  return model.clone(dtype=jnp.float32)


def _passes(model, name, preprocess):
  """(apply_eval, apply_train) of a `Task`; `name` is that of its parameters."""

  def apply_eval(params, stats, images):
    return forward.apply_eval(model, params[name], stats, preprocess(images))

  def apply_train(params, stats, images, key):
    inputs = preprocess(images)
    return forward.apply_train(model, params[name], stats, inputs, key)

  return apply_eval, apply_train

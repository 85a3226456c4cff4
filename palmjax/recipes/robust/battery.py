"""The attacks of the recipe `robust` on a hand detector.

An attack is an algorithm of `evals.attacks` with an objective to raise, for
each image by itself:

  class     class term of the detection loss
  box       its size and offset terms
  sum       the detection loss of class and box
  features  1 − cos of the pooled features and those of the clean image, mean
            over all levels
  toward    cos of the pooled features and those of another image of the test

The last two read no annotation and move features only, as the perturbation of
the arm 'ot' does: a detector that withstood these alone would not be robust.

All read running statistics, as the detector does in use.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from palmjax.evals import attacks
from palmjax.losses import detection
from palmjax.models import forward
from palmjax.ops import chunks, pixels, vectors
from palmjax.ops.maps import centers as center_maps
from palmjax.steps import detect

# Terms of the detector's loss that make an objective. Palm frames are no
# detections.
_TERMS = {
  'class': ('class',),
  'box': ('size', 'offset'),
  'sum': ('class', 'size', 'offset'),
}
# Objectives that read features, and no annotation.
_FEATURES = ('features', 'toward')
# Annotations that the loss reads.
_NOTES = ('boxes', 'classes', 'valid', 'points', 'framed', 'facing')
# Objects of an image.
_COUNT = 50


class Attack(NamedTuple):
  """An algorithm and what it raises.

  Attributes:
    algorithm: function of `evals.attacks`.
    options: its further arguments, pairs of name and value.
    objective: of `_TERMS`, or of `_FEATURES`.
  """

  algorithm: Callable
  options: tuple
  objective: str


def battery(section):
  """Returns {name: `Attack`} of the section `attack` of a config."""
  steps = ('num_steps', section.steps)
  restarts = ('restarts', section.restarts)
  made = {'fgsm': Attack(attacks.fgsm, (), 'sum')}
  for objective in _TERMS:
    made[f'pgd{section.steps}-{objective}'] = Attack(
      attacks.pgd, (steps, restarts), objective
    )
  for objective in ('class', 'sum', *_FEATURES):
    made[f'apgd{section.steps}-{objective}'] = Attack(
      attacks.apgd, (steps,), objective
    )
  queries = ('num_steps', section.queries)
  made['square'] = Attack(attacks.square, (queries,), 'sum')
  return made


def attack_images(attack, network, test, config, *, radius, key):
  """Attacked images of a test.

  Args:
    attack: `Attack`.
    network: `networks.hand.HandDetector`.
    test: annotated images, of `hand_images.HandImages.tests`.
    config: with the sections `attack` and `loss`.
    radius: in [0, 1].
    key: random key.

  Returns:
    float32 [N, S, S, 3] in [−1, 1].
  """
  features = attack.objective in _FEATURES
  program = _AttackProgram(
    network.model,
    attack.algorithm,
    attack.options,
    features,
    config.loss.radius,
    config.loss.cells,
  )
  # Traced: the objectives of an algorithm share a program.
  weights = {
    name: jnp.float32(
      detection.WEIGHTS[name]
      if not features and name in _TERMS[attack.objective]
      else 0.0
    )
    for name in detection.WEIGHTS
  }

  count = len(test['image'])

  def part(index):
    images, others = (
      pixels.to_float(jnp.asarray(test['image'][rows]))
      for rows in (index, (index + count // 2) % count)
    )
    return _run(
      program,
      (network.params, network.stats),
      (images, others),
      {name: jnp.asarray(test[name][index]) for name in _NOTES},
      (weights, jnp.bool_(attack.objective == 'toward')),
      jax.random.fold_in(key, int(index[0])),
      jnp.float32(radius),
    )

  return chunks.apply(part, np.arange(count), sizes=(config.attack.batch_size,))


def detect_objects(network, images, config):
  """Objects in float images [N, S, S, 3], as `HandDetector.detect` has them."""

  def part(images):
    return _detect(network.model, network.params, network.stats, images)

  return chunks.apply(part, images, sizes=(config.attack.batch_size,))


class _AttackProgram(NamedTuple):
  """What an attack is compiled for."""

  model: object
  algorithm: Callable
  options: tuple
  features: bool
  radius: str
  cells: int


@functools.partial(jax.jit, static_argnums=0)
def _run(program, variables, images, notes, objectives, key, radius):
  params, stats = variables
  images, others = images
  weights, toward = objectives

  def look(images):
    return forward.apply_eval(program.model, params['detector'], stats, images)

  if program.features:
    wanted = _features(look(jnp.where(toward, others, images))[1])

    def objective(images):
      cosines = [
        jnp.sum(a * b, axis=-1)
        for a, b in zip(wanted, _features(look(images)[1]), strict=True)
      ]
      cosine = sum(cosines) / len(cosines)
      return jnp.where(toward, cosine, 1.0 - cosine)

  else:
    # One image at a time: an image's loss does not depend on its batch.
    each = jax.vmap(functools.partial(_loss, program, weights))

    def objective(images):
      maps, _ = look(images)
      return each(maps, {**notes, 'image': images})

  return program.algorithm(
    objective, images, key, radius=radius, **dict(program.options)
  )


def _features(levels):
  return [vectors.unit(jnp.mean(level, axis=(1, 2))) for level in levels]


def _loss(program, weights, maps, notes):
  maps, notes = jax.tree.map(lambda x: x[None], (maps, notes))
  wanted = detect.targets(
    maps, notes, radius=program.radius, cells=program.cells
  )
  value, _ = detection.detection_loss(maps, wanted, weights=weights)
  return value


@functools.partial(jax.jit, static_argnums=0)
def _detect(model, params, stats, images):
  maps, _ = forward.apply_eval(model, params['detector'], stats, images)
  stride = images.shape[1] // maps['class'].shape[1]
  count = min(_COUNT, maps['class'][0].size)
  return center_maps.decode(maps, stride=stride, count=count)

"""The attacks of the recipe `robust` on a palm network.

A probe is changed within a radius, so that its embedding e(x') moves:

  genuine   away from the enrolled image of the same palm: − cos(e(x'), e)
  impostor  toward the enrolled image of a different palm:   cos(e(x'), e)

The first makes a person unknown to the system, the second makes a person
somebody else. Enrolled images stay as they are. Gradients pass through the
pre-processing to the image. Correlation and orientation codes have no network
to follow a gradient through, and are not attacked.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from palmjax.evals import attacks
from palmjax.models import forward
from palmjax.ops import chunks, pixels, vectors

# What an attack does to a cosine.
GOALS = {'genuine': -1.0, 'impostor': 1.0}


class PalmAttack(NamedTuple):
  """An algorithm.

  Attributes:
    algorithm: function of `evals.attacks`.
    options: its further arguments, pairs of name and value.
  """

  algorithm: Callable
  options: tuple


def battery(section):
  """Returns {name: `PalmAttack`} of the section `attack` of a config."""
  steps = ('num_steps', section.steps)
  return {
    'fgsm': PalmAttack(attacks.fgsm, ()),
    f'pgd{section.steps}': PalmAttack(
      attacks.pgd, (steps, ('restarts', section.restarts))
    ),
    strongest(section): PalmAttack(attacks.apgd, (steps,)),
    'square': PalmAttack(attacks.square, (('num_steps', section.queries),)),
  }


def strongest(section):
  """Name of the attack whose images are shown, and tried on other arms."""
  return f'apgd{section.steps}'


def attack_images(
  attack, network, probes, targets, *, goal, radius, key, batch_size
):
  """Attacked probes.

  Args:
    attack: `PalmAttack`.
    network: `networks.palm.PalmNetwork`.
    probes: uint8 [N, S, S, 3].
    targets: float [N, D], embeddings of the enrolled images.
    goal: of `GOALS`.
    radius: in [0, 1].
    key: random key.
    batch_size: images attacked together.

  Returns:
    float32 [N, S, S, 3] in [−1, 1].
  """
  program = _PalmAttackProgram(network.model, network.preprocess, *attack)

  def part(index):
    return _run(
      program,
      (network.params['backbone'], network.stats),
      pixels.to_float(jnp.asarray(probes[index])),
      jnp.asarray(targets[index]),
      # Traced: both goals and all radii share a program.
      jnp.float32(GOALS[goal]),
      jax.random.fold_in(key, int(index[0])),
      jnp.float32(radius),
    )

  return chunks.apply(part, np.arange(len(probes)), sizes=(batch_size,))


def embed(network, images, *, batch_size):
  """Embeddings of float images [N, S, S, 3]: float32 [N, D], unit norm."""

  def part(images):
    return _embed(
      network.model,
      network.preprocess,
      (network.params['backbone'], network.stats),
      jnp.asarray(images),
    )

  return chunks.apply(part, images, sizes=(batch_size,))


class _PalmAttackProgram(NamedTuple):
  """What an attack is compiled for."""

  model: object
  preprocess: object
  algorithm: Callable
  options: tuple


@functools.partial(jax.jit, static_argnums=0)
def _run(program, variables, images, targets, sign, key, radius):
  def objective(images):
    embeddings = _embed(program.model, program.preprocess, variables, images)
    return sign * jnp.sum(embeddings * targets, axis=-1)

  return program.algorithm(
    objective, images, key, radius=radius, **dict(program.options)
  )


@functools.partial(jax.jit, static_argnums=(0, 1))
def _embed(model, preprocess, variables, images):
  inputs = preprocess.apply(images)
  return vectors.unit(forward.apply_eval(model, *variables, inputs))

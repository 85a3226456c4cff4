"""The stages `attacked_ARM` with palms: a network is attacked, scores are kept.

An export holds scores.npz, arrays 'ATTACK/GOAL/RADIUS' of cosines, one a pair,
and images.npz, the attacked probes that other arms are tried on.
"""

from typing import NamedTuple

import jax
import numpy as np
from absl import logging

from palmjax.evals.recognition import chosen_pairs, error_rates
from palmjax.networks import palm as palm_networks
from palmjax.ops import pixels
from palmjax.recipes.robust import arms, keyed_arrays, palm_battery

SECTIONS = ('attack',)
CLEAN = 'clean'


class Probes(NamedTuple):
  """Two images of each of P palms.

  Attributes:
    probes: uint8 [P, S, S, 3], which an attack may change.
    enrolled: uint8 [P, S, S, 3], further images of the same palms.
    identities: int [P] in the test, all different.
  """

  probes: np.ndarray
  enrolled: np.ndarray
  identities: np.ndarray


class AttackedPalms(NamedTuple):
  """Cosines of the pairs of one arm, clean and attacked.

  Attributes:
    scores: {(attack, goal, radius in grey levels): float [P]}; pair i of a goal
      is probe i and its enrolled image of `targets`.
    images: {(goal, radius): float32 [P, S, S, 3]}, to try on other arms.
  """

  scores: dict
  images: dict


def choose(part, count):
  """The first and the last image of palms that are evenly spaced.

  Args:
    part: `palm_images.Part`, the test.
    count: of palms, at most.

  Returns:
    `Probes`.

  Raises:
    ValueError: fewer than 2 palms have two images.
  """
  palms = np.flatnonzero(np.bincount(part.labels) > 1)
  if len(palms) < 2:
    raise ValueError(
      'fewer than 2 palms of the test have two images, and none can pass for '
      'the other: add images or change --config.evaluation_share'
    )
  index = np.linspace(0, len(palms) - 1, min(count, len(palms))).round()
  chosen = palms[np.unique(index.astype(int))]
  images = [np.flatnonzero(part.labels == palm) for palm in chosen]
  return Probes(
    part.images[[of_palm[-1] for of_palm in images]],
    part.images[[of_palm[0] for of_palm in images]],
    chosen,
  )


def targets(goal, rows):
  """The enrolled image of each pair: of the same palm, or half the test away.

  Args:
    goal: of `palm_battery.GOALS`.
    rows: array [P, …], one a palm.

  Returns:
    Array [P, …].
  """
  # The two hands of a person are neighbours, and alike.
  return rows if goal == 'genuine' else np.roll(rows, -(len(rows) // 2), axis=0)


def pairs(scores):
  """`chosen_pairs.ChosenPairs` of {goal: float [P]}."""
  palms = np.arange(len(scores['genuine']))
  return chosen_pairs.ChosenPairs(
    scores['genuine'],
    scores['impostor'],
    palms,
    np.stack([palms, targets('impostor', palms)]),
  )


def both_lost(scores):
  """Whether any threshold between clean pairs rejects and accepts all wrongly.

  Args:
    scores: {(attack, goal, radius): float [P]}, clean ones among them.

  Returns:
    bool: under the worst attack of each pair every genuine pair is below every
    clean impostor pair, and every impostor pair above every clean genuine pair.
    Then more attacks have nothing left to show.
  """
  lowest, highest = (
    best(
      [values for (_, of, _), values in scores.items() if of == goal], axis=0
    )
    for goal, best in (('genuine', np.min), ('impostor', np.max))
  )
  genuine, impostor = (
    scores[CLEAN, goal, 0.0] for goal in ('genuine', 'impostor')
  )
  return bool(lowest.max() < impostor.min() and highest.min() > genuine.max())


def attack(probes, key, stage, config, **exports):
  """Attacks the network of one arm and keeps the scores.

  The attack whose images other arms are shown is made within every radius.

  Args:
    probes: `Probes`.
    key: random key of the attacks, one for all arms.
    stage: `engine.stage.Stage`.
    config: with `SECTIONS`.
    **exports: {arm: export directory}, one.

  Returns:
    Metrics: {'attacks'}, the number of attacks that were run.
  """
  ((arm, directory),) = exports.items()
  network = palm_networks.load(directory)
  section = config.attack
  look = Look(network, probes, section.batch_size)
  clean = np.asarray(pixels.to_float(probes.probes))
  scores = {
    (CLEAN, goal, 0.0): look.cosines(clean, goal) for goal in palm_battery.GOALS
  }
  images = {}
  attacks = palm_battery.battery(section)
  strongest = palm_battery.strongest(section)
  for radius in section.radii:
    lost = both_lost(scores)
    for index, (name, one) in enumerate(attacks.items()):
      if lost and name != strongest:
        continue
      both = {}
      for number, goal in enumerate(palm_battery.GOALS):
        made = palm_battery.attack_images(
          one,
          network,
          probes.probes,
          look.targets[goal],
          goal=goal,
          radius=radius / 255,
          key=jax.random.fold_in(key, len(attacks) * number + index),
          batch_size=section.batch_size,
        )
        both[goal] = look.cosines(made, goal)
        scores[name, goal, float(radius)] = both[goal]
        if name == strongest:
          images[goal, float(radius)] = made
      eer = error_rates.eer(both['genuine'], both['impostor'])
      logging.info('%s under %s at %g/255: EER %.3f', arm, name, radius, eer)
  _write(stage.export, AttackedPalms(scores, images))
  return {'attacks': len(scores) - len(palm_battery.GOALS)}


def transfer(attacked, networks, probes, config):
  """Adds the scores of each arm on the probes that were made for the others.

  Args:
    attacked: {arm: `AttackedPalms`}; gets attacks named 'transfer from ARM'.
    networks: {arm: `networks.palm.PalmNetwork`}.
    probes: `Probes`.
    config: with the section `attack`.
  """
  for arm, network in networks.items():
    look = Look(network, probes, config.attack.batch_size)
    for name, (goal, radius), images in arms.made_for_others(attacked, arm):
      attacked[arm].scores[name, goal, radius] = look.cosines(images, goal)


def read(directory):
  """`AttackedPalms` of an export of `attack`."""
  return AttackedPalms(
    *(
      {
        (*names, float(radius)): array
        for (*names, radius), array in keyed_arrays.read(
          directory / f'{part}.npz'
        )
      }
      for part in AttackedPalms._fields
    )
  )


class Look:
  """A network on the probes.

  Attributes:
    targets: {goal: float [P, D]}, embeddings of the enrolled images.
  """

  def __init__(self, network, probes, batch_size):
    self._network, self._batch_size = network, batch_size
    enrolled = self._embed(np.asarray(pixels.to_float(probes.enrolled)))
    self.targets = {
      goal: targets(goal, enrolled) for goal in palm_battery.GOALS
    }

  def cosines(self, images, goal):
    """Of float images [P, S, S, 3] and their targets: float [P]."""
    return np.sum(self._embed(images) * self.targets[goal], axis=-1)

  def _embed(self, images):
    return palm_battery.embed(
      self._network, images, batch_size=self._batch_size
    )


def _write(directory, attacked):
  for part, arrays in attacked._asdict().items():
    keyed_arrays.write(directory / f'{part}.npz', arrays)

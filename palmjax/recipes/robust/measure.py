"""The stages `attacked_ARM`: a detector is attacked, what it finds is kept.

An export holds detections.npz, arrays 'TEST/ATTACK/RADIUS/NAME' of what
`networks.hand.HandDetector.detect` returns, and images.npz, the images of the
attack that other arms are tried on. TEST is the number of a test.
"""

from typing import NamedTuple

import jax
import numpy as np
from absl import logging

from palmjax.evals.detection import average_precision, box_matching, robustness
from palmjax.networks import hand as hand_networks
from palmjax.ops import pixels
from palmjax.recipes.robust import arms, battery, keyed_arrays

# Of `perturb` the vectors that are matched: the attacks on features move them.
SECTIONS = ('attack', 'loss', 'perturb')
CLEAN = 'clean'
_KEPT = ('boxes', 'scores', 'classes')
# Of a detector with less, more attacks have nothing left to show.
NOTHING = 0.005
# Grey levels within which an attack can make any image. What withstands it
# withstood the attack, not the change.
WHOLE = 255


class Attacked(NamedTuple):
  """What a detector found in clean, corrupted and attacked images.

  Attributes:
    detections: {(test, attack, radius in grey levels): {name: array [N, …]}}.
    images: {(test, radius): float32 [N, S, S, 3]}, to try on other detectors.
  """

  detections: dict
  images: dict


def attack(tests, classes, key, stage, config, **exports):
  """Attacks the detector of one arm and keeps what it found.

  An image of which all hands are lost within a radius is attacked within larger
  ones by `battery.on_every_image` alone; under the other attacks it keeps the
  attempt that lost them. Where nearly nothing is left of the whole test, these
  attacks alone go on. A test without a box is not attacked.

  Args:
    tests: list of annotated images, see `chosen`.
    classes: names.
    key: random key of the attacks, one for all arms.
    stage: `engine.stage.Stage`.
    config: with `SECTIONS`.
    **exports: {arm: export directory}, one.

  Returns:
    Metrics: {'attacks'}, the number of attacks that were run.
  """
  ((arm, directory),) = exports.items()
  network = hand_networks.load(directory)
  attacks = battery.battery(config.attack)
  strongest = battery.strongest(config.attack)
  detections, images = {}, {}
  for number, test in enumerate(tests):
    look = _Look(network, config, test, classes)
    clean = np.asarray(pixels.to_float(test['image']))
    detections[number, CLEAN, 0] = look.detections(clean)
    lost = _Lost(look, detections[number, CLEAN, 0])
    for name, strengths in robustness.corruptions().items():
      for level, strength in enumerate(strengths, start=1):
        changed = robustness.corrupt(test['image'], name, strength)
        detections[number, name, level] = look.detections(
          np.asarray(pixels.to_float(changed))
        )
    if not test['valid'].any():
      logging.info('a test without a box is not attacked: nothing can be lost')
      continue

    def look_under(name, radius, part, *, number=number, look=look, lost=lost):
      """AP50 under an attack whose detections are kept."""
      made = battery.attack_images(
        attacks[name],
        network,
        look.test,
        config,
        radius=radius / 255,
        key=jax.random.fold_in(key, list(attacks).index(name)),
        part=part,
      )
      if name == strongest and radius in config.attack.radii:
        images[number, radius] = made
      objects = lost.filled(look.detections(made), part)
      lost.note(objects)
      detections[number, name, radius] = objects
      value = look.ap50(objects)
      logging.info('%s under %s at %g/255: AP50 %.3f', arm, name, radius, value)
      return value

    lowest, always = np.inf, battery.on_every_image(config.attack)
    for radius in config.attack.radii:
      left = lowest >= NOTHING
      whole, seen = np.arange(len(lost.images)), np.flatnonzero(~lost.images)
      parts = {
        name: whole if name in always else seen
        for name in (attacks if left else always)
      }
      for name, part in parts.items():
        if len(part):
          lowest = min(lowest, look_under(name, radius, part))
    if WHOLE not in config.attack.radii:
      name = battery.unsaturated(config.attack)
      look_under(name, WHOLE, np.arange(len(lost.images)))
  _write(stage.export, Attacked(detections, images))
  return {'attacks': len(detections)}


def transfer(attacked, networks, tests, classes, config):
  """Adds what each detector finds in the images made for the others.

  Args:
    attacked: {arm: `Attacked`}; gets attacks named 'transfer from ARM'.
    networks: {arm: `networks.hand.HandDetector`}.
    tests, classes, config: as of `attack`.
  """
  for arm, network in networks.items():
    looks = [_Look(network, config, test, classes) for test in tests]
    for name, (number, radius), images in arms.made_for_others(attacked, arm):
      key = number, name, radius
      attacked[arm].detections[key] = looks[number].detections(images)


def chosen(tests, count):
  """At most `count` images of each test, evenly spaced.

  Args:
    tests: {suffix: {name: array [N, …]}}.
    count: of images.

  Returns:
    {suffix: {name: array [n, …]}}.
  """
  parts = {}
  for suffix, test in tests.items():
    total = len(test['image'])
    index = np.unique(np.linspace(0, total - 1, min(count, total)).round())
    parts[suffix] = {k: v[index.astype(int)] for k, v in test.items()}
  return parts


def read(directory):
  """`Attacked` of an export of `attack`."""
  detections = {}
  for key, array in keyed_arrays.read(directory / 'detections.npz'):
    number, name, radius, field = key
    fields = detections.setdefault((int(number), name, float(radius)), {})
    fields[field] = array
  images = {
    (int(number), float(radius)): array
    for (number, radius), array in keyed_arrays.read(directory / 'images.npz')
  }
  return Attacked(detections, images)


def matches(test, attempts, names):
  """`box_matching.Matches` of what was found in a test, in A attempts.

  Args:
    test: annotated images, N.
    attempts: list of {name: array [N, …]}, detections.
    names: of the classes.

  Returns:
    `box_matching.Matches` of N·A images, as `robustness.recombine` wants them.
  """
  truths = [
    (boxes[valid], labels[valid])
    for boxes, labels, valid in zip(
      test['boxes'], test['classes'], test['valid'], strict=True
    )
    for _ in attempts
  ]
  rows = [
    tuple(objects[name][i] for name in _KEPT)
    for i in range(len(test['boxes']))
    for objects in attempts
  ]
  return box_matching.match(truths, rows, names=names)


class _Look:
  """A detector on one test, which is `test`."""

  def __init__(self, network, config, test, classes):
    self.test = test
    self._network, self._config = network, config
    self._classes = classes

  def detections(self, images):
    objects = battery.detect_objects(self._network, images, self._config)
    return {name: objects[name] for name in _KEPT}

  def ap50(self, objects):
    matched = matches(self.test, [objects], self._classes)
    every = np.ones((1, len(self.test['boxes'])), int)
    return float(average_precision.ap50(matched, every)[0])

  def has_hits(self, objects):
    """Whether any box of an image is found, at the IoU of AP50: bool [N]."""
    matched = matches(self.test, [objects], self._classes)
    (place,) = np.flatnonzero(np.isclose(box_matching.IOUS, 0.5))
    hits = np.zeros(len(self.test['boxes']), bool)
    hits[matched.image[matched.hit[0, place]]] = True
    return hits


class _Lost:
  """Which images have lost all their hands, `images`, and what lost them."""

  def __init__(self, look, clean):
    self._look = look
    self.images = ~look.has_hits(clean)
    self._kept = {name: array.copy() for name, array in clean.items()}

  def note(self, objects):
    """Takes note of the detections under one more attempt."""
    new = ~self._look.has_hits(objects) & ~self.images
    for name, array in self._kept.items():
      array[new] = objects[name][new]
    self.images |= new

  def filled(self, objects, part):
    """Detections in some images, with what was kept of the others."""
    whole = {name: array.copy() for name, array in self._kept.items()}
    for name, array in whole.items():
      array[part] = objects[name]
    return whole


def _write(directory, attacked):
  detections = {
    (*key, field): array
    for key, objects in attacked.detections.items()
    for field, array in objects.items()
  }
  keyed_arrays.write(directory / 'detections.npz', detections)
  keyed_arrays.write(directory / 'images.npz', attacked.images)

"""Attacked test pictures in the report of the recipe `robust`."""

import jax
import numpy as np

from palmjax.ops import pixels
from palmjax.recipes.robust import battery
from palmjax.report import drawn_boxes, html

_TILES = 4
# A change is shown so many times as large.
ENLARGED = 10
_LEAST = 0.3  # Score of a box that is drawn.
_COLOR = (255, 160, 90)


def attacked(run, test, networks, radius, suffix):
  """Clean and attacked images with what each arm finds in them.

  Args:
    run: `hand_training.HandRun`.
    test: annotated images; the first ones are shown.
    networks: {arm: `networks.hand.HandDetector`}.
    radius: in grey levels.
    suffix: of the test.

  Returns:
    `html.Grid`.
  """
  config, classes = run.config, run.hands.classes
  shown = {name: array[:_TILES] for name, array in test.items()}
  name = battery.strongest(config.attack)
  attack = battery.battery(config.attack)[name]
  groups = {}
  for arm, network in networks.items():
    images = battery.attack_images(
      attack,
      network,
      shown,
      config,
      radius=radius / 255,
      key=jax.random.key(config.seed),
    )
    clean = np.asarray(pixels.to_float(shown['image']))
    objects = [
      battery.detect_objects(network, x, config) for x in (clean, images)
    ]
    groups[f'{arm}: clean'] = _tiles(clean, objects[0], classes)
    groups[f'{arm}: attacked'] = _tiles(images, objects[1], classes)
    groups[f'{arm}: difference × {ENLARGED}'] = differences(clean, images)
  return html.Grid(
    f'Attacked hands{suffix}',
    groups,
    f'The first images, not chosen, under {name} of {radius:g}/255. Boxes have '
    f'a score of {_LEAST:g} or more; where there is none, the best one is '
    'drawn.',
    large=True,
  )


def differences(clean, images):
  """Tiles of the enlarged change of float images [N, S, S, 3] in [−1, 1]."""
  return [
    html.tile(_bytes(ENLARGED * (after - before)), alt='Change of the image')
    for before, after in zip(clean, images, strict=True)
  ]


def _tiles(images, objects, classes):
  return [
    html.tile(
      drawn_boxes.draw(
        _bytes(image), _shapes(objects, classes, i), color=_COLOR
      ),
      alt='Hands and what was found',
    )
    for i, image in enumerate(images)
  ]


def _shapes(objects, classes, i):
  scores = objects['scores'][i]
  return [
    drawn_boxes.Shape(
      objects['boxes'][i, k],
      f'{classes[objects["classes"][i, k]]} {scores[k]:.2f}',
    )
    # The best on top.
    for k in np.flatnonzero(scores >= min(_LEAST, scores.max()))[::-1]
  ]


def _bytes(image):
  return np.asarray(pixels.to_uint8(image))

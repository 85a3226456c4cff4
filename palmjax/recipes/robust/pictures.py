"""Pictures in the report of the recipe `robust`: attacked, and trained on."""

import jax
import numpy as np

from palmjax.ops import pixels
from palmjax.recipes.robust import battery, training, training_report
from palmjax.report import drawn_boxes, html
from palmjax.steps import perturb

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


def target_images(networks, config, task_of, batch):
  """Images of the training and what an arm perturbs them to.

  Args:
    networks: {arm: network with `model`, `params` and `stats`}.
    config: with `perturb` and `seed`.
    task_of: network → `perturbed_tasks.Task`.
    batch: {name: array [B, …]}, the first images of the training.

  Returns:
    List of one `html.Grid`, of the first arm that there is of 'ot' and
    'distance', whose ascents read no label; empty if there is none.
  """
  arm = next((arm for arm in ('ot', 'distance') if arm in networks), None)
  if arm is None:
    return []
  network, made = networks[arm], training.perturbation(config, arm)
  task, objective = task_of(network), perturb.ASCENTS[made.kind]

  @jax.jit
  def find(variables, batch, key):
    prepare, start = jax.random.split(key)
    images, targets = task.prepare(prepare, batch)
    changed, metrics = perturb.find_target_images(
      task, made, variables, (images, targets), start
    )
    return images, changed, metrics[objective]

  clean, changed, before = jax.device_get(
    find((network.params, network.stats), batch, jax.random.key(config.seed))
  )
  clean, changed = clean[:_TILES], changed[:_TILES]
  groups = {
    name: [html.tile(_bytes(image), alt='Image of the training') for image in x]
    for name, x in (('Clean, x', clean), ('Perturbed, x*', changed))
  }
  groups[f'Difference × {ENLARGED}'] = differences(clean, changed)
  return [
    html.Grid(
      'Images of the training, and what they are perturbed to',
      groups,
      f'{training_report.NAMES[arm]}: the first images, not chosen, augmented '
      'as in the training, and x* within '
      f'{255 * config.perturb.epsilon:g}/255 by the weights after the '
      f'training. Before the ascent {objective} of the batch was {before:.4g}.',
      large=True,
    )
  ]


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

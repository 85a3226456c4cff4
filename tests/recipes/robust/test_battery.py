"""The attacks on a detector: within the radius; each raises its objective."""

import functools
import types

import jax
import ml_collections
import numpy as np
import pytest

from configs import robust as robust_config
from palmjax.models import forward
from palmjax.recipes.robust import battery
from tests.steps import tiny_teachers

SIDE = 16

apply_eval = jax.jit(forward.apply_eval, static_argnums=0)


def feature_vectors(network, images):
  """What attacks on features move: rows of two groups, each of unit norm.

  The first is of pooled levels, the second the logits, zero-padded.
  """
  maps, levels = apply_eval(
    network.model, network.params['detector'], network.stats, images
  )
  pooled = [np.asarray(level).mean(axis=(1, 2)) for level in levels]
  logits = np.asarray(maps['class']).reshape(len(images), -1)
  return [_units(pooled), _units([logits])]


def _units(rows):
  return [x / np.linalg.norm(x, axis=1, keepdims=True) for x in rows]


def cosines(first, others):
  """Mean cosine over both groups, [N]."""
  means = [
    np.mean(
      [(a * b).sum(axis=-1) for a, b in zip(*groups, strict=True)], axis=0
    )
    for groups in zip(first, others, strict=True)
  ]
  return np.mean(means, axis=0)


@pytest.fixture(scope='module')
def network():
  """Without any defence."""
  model = tiny_teachers.Tiny()
  init = jax.jit(functools.partial(model.init, train=False))
  variables = init(jax.random.key(0), np.zeros((1, SIDE, SIDE, 3)))
  return types.SimpleNamespace(
    model=model,
    params={'detector': variables['params']},
    stats={'batch_stats': variables['batch_stats']},
  )


def settings(**changes):
  attack = {
    'steps': 4,
    'restarts': 1,
    'queries': 4,
    'targets': 1,
    'battery': 'full',
    'batch_size': 2,
  }
  return ml_collections.ConfigDict(
    {
      'attack': {**attack, **changes},
      'perturb': {'vector': 'logits'},
      'loss': {'radius': 'published', 'cells': 9},
    }
  )


@pytest.mark.slow
def test_a_detector_is_attacked_within_the_radius(network):
  """Every attack raises its own objective; detections come back as written."""
  batch = tiny_teachers.batch(1, size=3)
  config = settings()
  clean = batch['image'] / 127.5 - 1.0
  attacks = battery.battery(config.attack)
  assert {
    'fgsm',
    'pgd4-class',
    'pgd4-box',
    'pgd4-sum',
    'pgd4-margin',
    'apgd4-class',
    'apgd4-sum',
    'apgd4-margin',
    'apgd4-features',
    'apgd4-toward',
    'apgd4-vectors',
    'apgd4-toward-vectors',
    'square',
  } == attacks.keys()
  # Of all levels; the image that another is moved toward is half the test away.
  features = feature_vectors(network, clean)
  count = len(clean)
  others = np.roll(np.arange(count), -(count // 2))
  for name in ('pgd4-box', 'apgd4-features', 'apgd4-toward'):
    images = battery.attack_images(
      attacks[name],
      network,
      batch,
      config,
      radius=8 / 255,
      key=jax.random.key(1),
    )
    change = np.abs(images - clean)
    assert images.shape == clean.shape
    assert change.max() <= 16 / 255 + 1e-6
    assert (change.max(axis=(1, 2, 3)) > 8 / 255).all()
    assert np.abs(images).max() <= 1.0
    moved = feature_vectors(network, images)
    if name == 'apgd4-features':
      assert (cosines(moved, features) < 1.0 - 1e-4).all()
    if name == 'apgd4-toward':
      wanted = [[x[others] for x in group] for group in features]
      assert (cosines(moved, wanted) > cosines(features, wanted)).all()
  # Objects are those of the same network on the same images.
  objects = battery.detect_objects(network, images, config)
  assert objects['boxes'].shape[0] == len(images)


def logit_margin(network, batch, images):
  """Mean of 10 wrong logits minus that of the objects, by image."""
  maps, _ = apply_eval(
    network.model, network.params['detector'], network.stats, images
  )
  logits = np.asarray(maps['class'])
  stride = SIDE // logits.shape[1]
  margins = []
  for i, image in enumerate(logits):
    wrong, right = np.ones(image.shape, bool), []
    for box, label, valid in zip(
      batch['boxes'][i], batch['classes'][i], batch['valid'][i], strict=True
    ):
      if valid:
        x, y = ((box[:2] + box[2:]) / 2 // stride).astype(int)
        # Boxes are too small for a radius of more than a cell.
        reach = slice(max(y - 1, 0), y + 2), slice(max(x - 1, 0), x + 2)
        right.append(image[*reach, label].max())
        wrong[*reach, label] = False
    highest = np.sort(image[wrong])[-10:]
    margins.append(highest.mean() - (np.mean(right) if right else 0.0))
  return np.array(margins)


def test_the_table_has_the_attacks_that_the_method_is_to_withstand():
  section = robust_config.get_config('table').attack
  attacks = battery.battery(section)
  names = {'fgsm', 'square'}
  names |= {f'pgd20-{term}' for term in ('class', 'box', 'sum')}
  names |= {f'apgd20-{term}' for term in ('class', 'sum', 'margin')}
  names |= {f'apgd20-{goal}' for goal in ('features', 'toward')}
  assert names == attacks.keys()
  assert dict(attacks['pgd20-box'].options)['restarts'] == 3
  assert dict(attacks['square'].options)['num_steps'] >= 1000
  assert {*battery.on_every_image(section)} < names


def test_some_images_are_attacked(network):
  """Those that are named, moved toward images of the whole test."""
  batch = tiny_teachers.batch(1, size=4)
  config = settings(targets=1)
  images = battery.attack_images(
    battery.battery(config.attack)['apgd4-toward'],
    network,
    batch,
    config,
    radius=8 / 255,
    key=jax.random.key(1),
    part=np.array([1, 3]),
  )
  clean = batch['image'] / np.float32(127.5) - 1
  assert images.shape == (2, *clean.shape[1:])
  assert np.abs(images - clean[[1, 3]]).max() <= 16 / 255 + 1e-6
  features = feature_vectors(network, clean)
  moved = feature_vectors(network, images)
  toward, before = (
    [[x[rows] for x in group] for group in features]
    for rows in ([3, 1], [1, 3])
  )
  assert (cosines(moved, toward) > cosines(before, toward)).all()


@pytest.mark.slow
def test_the_margin_is_of_logits_and_does_not_saturate(network):
  """By hand; and with logits so large that the loss is flat."""
  batch = tiny_teachers.batch(1, size=3)
  batch['valid'][2] = False
  clean = batch['image'] / np.float32(127.5) - 1
  config = settings()
  kernels = network.params['detector']
  for factor in (1.0, 100.0):
    params = jax.tree.map(lambda x: x, kernels)
    params['class'] = jax.tree.map(lambda x, f=factor: f * x, params['class'])
    scaled = types.SimpleNamespace(
      model=network.model, params={'detector': params}, stats=network.stats
    )
    images = battery.attack_images(
      battery.battery(config.attack)['apgd4-margin'],
      scaled,
      batch,
      config,
      radius=8 / 255,
      key=jax.random.key(1),
    )
    before = logit_margin(scaled, batch, clean)
    gain = logit_margin(scaled, batch, images) - before
    assert (gain > 0.02 * factor).all()


def test_more_targets_never_lower_the_objective(network):
  batch = tiny_teachers.batch(1, size=6)
  reached = []
  for targets in (1, 5):
    config = settings(targets=targets)
    images = battery.attack_images(
      battery.battery(config.attack)['apgd4-toward'],
      network,
      batch,
      config,
      radius=8 / 255,
      key=jax.random.key(1),
    )
    others = feature_vectors(network, batch['image'] / np.float32(127.5) - 1)
    moved = feature_vectors(network, images)
    reached.append(
      np.max(
        [
          cosines(moved, [[np.roll(x, -k, 0) for x in g] for g in others])
          for k in ([3] if targets == 1 else range(1, 6))
        ],
        axis=0,
      )
    )
  assert (reached[1] >= reached[0] - 1e-6).all()
  assert (reached[1] > reached[0] + 1e-4).any()

"""What attacked detectors found: kept, read again, and made into a table."""

import types

import jax
import ml_collections
import numpy as np
import pytest

from palmjax.evals import bootstrap
from palmjax.models import forward
from palmjax.recipes.robust import battery, measure, scores
from tests.steps import tiny_teachers

SIDE = 16


def objects_of(boxes, score):
  """One detection an image."""
  count = len(boxes)
  return {
    'boxes': np.asarray(boxes, np.float32)[:, None],
    'scores': np.full((count, 1), score, np.float32),
    'classes': np.zeros((count, 1), np.int32),
  }


@pytest.fixture
def test():
  boxes = np.tile(np.float32([2, 2, 10, 10]), (8, 1, 1))
  return {
    'boxes': boxes,
    'classes': np.zeros((8, 1), np.int32),
    'valid': np.ones((8, 1), bool),
  }


def right(test, share):
  """Boxes that are right in a share of the images, and else far off."""
  count = round(share * len(test['boxes']))
  wrong = np.float32([12, 12, 15, 15])
  return objects_of(
    [
      test['boxes'][i, 0] if i < count else wrong
      for i in range(len(test['boxes']))
    ],
    0.9,
  )


def feature_vectors(network, images):
  """Pooled features of each level, unit norm; the levels are zero-padded."""
  _, levels = forward.apply_eval(
    network.model, network.params['detector'], network.stats, images
  )
  pooled = [np.asarray(level).mean(axis=(1, 2)) for level in levels]
  units = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in pooled]
  width = max(x.shape[1] for x in units)
  return np.stack([np.pad(x, ((0, 0), (0, width - x.shape[1]))) for x in units])


def cosines(first, others):
  """Mean cosine over levels, [N]."""
  return (first * others).sum(axis=-1).mean(axis=0)


def test_the_table_shows_the_worst_attack(test):
  """AP50 of a share of right boxes, by hand; radii that were not reached."""

  def arm(clean, **attacked):
    detections = {(0, 'clean', 0.0): right(test, clean)}
    for level in range(1, 6):
      for name in ('noise', 'blur', 'jpeg', 'brightness', 'contrast'):
        detections[0, name, float(level)] = right(test, clean)
    for key, share in attacked.items():
      name, radius = key.split('_')
      detections[0, name, float(radius)] = right(test, share)
    return measure.Attacked(detections, {})

  table = scores.table(
    {
      'plain': arm(1.0, pgd_2=0.5, square_2=0.75, pgd_4=0.0),
      'ot': arm(1.0, pgd_2=1.0, square_2=0.75, pgd_4=0.5, square_4=0.875),
    },
    0,
    test,
    ('hand',),
  )
  assert table.worst['plain'][2.0] == ('pgd', 2.0)
  assert table.worst['ot'][2.0] == ('square', 2.0)
  cells = scores.models({'': table}, (2, 4, 8), bootstrap.Resampling(draws=20))
  plain, ot = cells['plain'], cells['ot']
  assert plain['ap50']['value'] == ot['ap50@corruptions']['value'] == 1.0
  assert plain['ap50@4/255']['value'] == plain['ap50@8/255']['value'] == 0.0
  assert 0.25 < ot['ap50@4/255']['value'] < 0.75
  assert ot['ap50@8/255'] == ot['ap50@4/255']
  gain = ot['ap50@2/255 - plain']
  assert gain['value'] == pytest.approx(
    ot['ap50@2/255']['value'] - plain['ap50@2/255']['value']
  )
  named = scores.names_of_worst({'': table}, (2, 8))
  assert named['ot'] == {'2/255': 'square at 2/255', '8/255': 'pgd at 4/255'}


def test_masked_gradients_are_told(test):
  def arm(**attacked):
    return measure.Attacked(
      {(0, name, 2.0): right(test, share) for name, share in attacked.items()},
      {},
    )

  one = {'pgd20-sum': 0.5, 'transfer from ot': 0.75}
  table = scores.table(
    {
      'plain': arm(**one, square=0.75),
      'ot': arm(**{**one, 'transfer from ot': 0.25}, square=0.25),
    },
    0,
    test,
    ('hand',),
  )
  assert scores.warnings(table, 'plain', (2,)) == []
  messages = scores.warnings(table, 'ot', (2,))
  assert len(messages) == 2
  assert 'without gradients is stronger' in messages[0]


def test_chosen_images_are_evenly_spaced():
  tests = {'': {'image': np.arange(10)}, ', other': {'image': np.arange(3)}}
  parts = measure.chosen(tests, 4)
  np.testing.assert_array_equal(parts['']['image'], [0, 3, 6, 9])
  np.testing.assert_array_equal(parts[', other']['image'], [0, 1, 2])


def test_a_detector_is_attacked_within_the_radius():
  """Every attack raises its own objective; detections come back as written."""
  model = tiny_teachers.Tiny()
  batch = tiny_teachers.batch(1, size=3)
  variables = model.init(
    jax.random.key(0), np.zeros((1, SIDE, SIDE, 3)), train=False
  )
  network = types.SimpleNamespace(
    model=model,
    params={'detector': variables['params']},
    stats={'batch_stats': variables['batch_stats']},
  )
  config = ml_collections.ConfigDict(
    {
      'attack': {
        'steps': 4,
        'restarts': 1,
        'queries': 4,
        'batch_size': 2,
      },
      'loss': {'radius': 'published', 'cells': 9},
    }
  )
  clean = batch['image'] / 127.5 - 1.0
  attacks = battery.battery(config.attack)
  assert {
    'fgsm',
    'pgd4-class',
    'pgd4-box',
    'pgd4-sum',
    'apgd4-class',
    'apgd4-sum',
    'apgd4-features',
    'apgd4-toward',
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
      before = cosines(features, features[:, others])
      assert (cosines(moved, features[:, others]) > before).all()
  # Objects are those of the same network on the same images.
  objects = battery.detect_objects(network, images, config)
  assert objects['boxes'].shape[0] == len(images)

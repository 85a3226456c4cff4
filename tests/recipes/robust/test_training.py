"""What an arm hands to the loop: batches, and what ends its training."""

import types

import jax
import numpy as np
import pytest

from configs import robust as robust_config
from palmjax.engine import mesh as meshes
from palmjax.engine import stage as stages
from palmjax.losses import transport
from palmjax.recipes.robust import (
  palm_arms,
  palm_recipe,
  statistics,
  training,
)
from palmjax.recipes.shared import (
  hand_images,
  hand_training,
  palm_training,
  sections,
)

IMAGES, KEY = 24, jax.random.key(0)
# Of the smoke variant: 8 images in a batch.
EPOCH = 3
REPLAYS = 4


@pytest.fixture
def given(monkeypatch):
  """What the training of a detector, and of a palm network, is given."""
  arguments = {}
  for module in (hand_training, palm_training):
    monkeypatch.setattr(
      module, 'train', lambda *args, **names: arguments.update(names)
    )
  return arguments


@pytest.fixture
def stage(tmp_path):
  return stages.Stage(tmp_path, 'arm', tmp_path, KEY)


def train_hands(stage, arm):
  config = statistics.settle(robust_config.get_config('smoke'), 'train')
  config.stop.loss = 7.0
  hands = hand_images.HandImages(
    training={
      'image': np.arange(IMAGES, dtype=np.uint8),
      'framed': np.zeros(IMAGES, bool),
    },
    tests={},
    classes=('hand',),
    skipped=(),
    fingerprint='',
  )
  start = training.read_start(config, hands.classes)
  # Nothing is trained, so no weights are needed.
  nothing = types.SimpleNamespace(params={}, stats={})
  training.train(
    hands,
    meshes.make(1),
    start._replace(network=nothing),
    stage,
    config,
    arm=arm,
    key=KEY,
  )


def train_palms(stage, arm):
  config = robust_config.get_config('smoke')
  config.task = 'recognise'
  config.stop.loss = 7.0
  labelled = types.SimpleNamespace(
    images=np.arange(IMAGES, dtype=np.uint8),
    labels=np.arange(IMAGES) // 3,
    identities=range(8),
  )
  palm_arms.train(
    types.SimpleNamespace(labelled=labelled),
    meshes.make(1),
    None,
    None,
    stage,
    statistics.settle(sections.of(config, palm_recipe.SECTION), 'cnn'),
    arm=arm,
    key=KEY,
  )


@pytest.mark.parametrize('train', [train_hands, train_palms])
@pytest.mark.parametrize('arm, times', [('ot', 1), ('free', REPLAYS)])
def test_an_epoch_sees_each_image_once(train, arm, times, given, stage):
  """The mean against the threshold is one over all images, of each arm."""
  train(stage, arm)
  (rule,) = given['stop']
  assert rule.value == 7.0
  assert rule.epoch_steps == EPOCH * times
  batches = given['batches'](0)
  images = [next(batches)['image'] for _ in range(rule.epoch_steps)]
  seen = np.concatenate(images).tolist()
  assert sorted(seen) == sorted(times * [*range(IMAGES)])


@pytest.mark.parametrize('train', [train_hands, train_palms])
def test_arms_take_their_batches_in_one_order(train, given, stage):
  first = {}
  for arm in ('plain', 'ot', 'free'):
    train(stage, arm)
    batches = given['batches'](0)
    first[arm] = [
      np.asarray(next(batches)['image']) for _ in range(REPLAYS + 1)
    ]
  for plain, ot in zip(first['plain'], first['ot'], strict=True):
    np.testing.assert_array_equal(plain, ot)
  for image in first['free'][:REPLAYS]:
    np.testing.assert_array_equal(image, first['plain'][0])
  np.testing.assert_array_equal(first['free'][-1], first['plain'][1])


@pytest.mark.parametrize('section', ['', 'recognise'])
def test_plans_of_the_default_solver_converge(section):
  """Of sixteen images and copies, as far apart as logits of a trained network.

  The plans tell the images apart, and yet they are not that of 'distance'.
  """
  config = robust_config.get_config()
  if section:
    config = sections.of(config, palm_recipe.SECTION)
  config = statistics.settle(config, 'cnn' if section else 'train')
  solver = training.perturbation(config, 'ot').solver
  for seed in range(3):
    rng = np.random.default_rng(seed)
    features = 1 + 0.3 * rng.normal(size=(16, 64))
    strength = 0.15 * rng.normal(size=(16, 1)) ** 2
    copies = features + strength * rng.normal(size=(16, 64))
    plan = solver(transport.cosine_cost(features, copies))
    assert plan.converged
    assert 0.9 < np.trace(plan.matrix) < 0.995
    # The number of iterations is what converges.
    few = transport.sinkhorn(
      transport.cosine_cost(features, copies), num_iterations=50
    )
    assert not few.converged

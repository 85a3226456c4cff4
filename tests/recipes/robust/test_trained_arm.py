"""An undefended arm, trained from the shipped detector and attacked."""

import jax
import numpy as np
import pytest

from configs import robust as robust_config
from palmjax.data.hands import hands
from palmjax.engine import mesh as meshes
from palmjax.engine import stage as stages
from palmjax.evals.detection import average_precision
from palmjax.networks import hand as hand_networks
from palmjax.ops import pixels
from palmjax.recipes.robust import battery, measure, statistics, training
from palmjax.recipes.shared import hand_images

pytestmark = pytest.mark.slow

COUNT, STEPS = 8, 10


def draw(seed, count):
  return hand_images.draw(jax.random.key(seed), count, size=96, difficulty=0.5)


@pytest.fixture(scope='module')
def config():
  config = statistics.settle(robust_config.get_config(), 'train')
  config.train.steps = STEPS
  config.train.batch_size = 8
  return config


@pytest.fixture(scope='module')
def network(config, tmp_path_factory):
  workdir = tmp_path_factory.mktemp('plain')
  images = hand_images.HandImages(
    training=draw(105, 32),
    tests={},
    classes=hands.GESTURES,
    skipped=(),
    fingerprint='',
  )
  stage = stages.Stage(workdir, 'plain', workdir / 'export', jax.random.key(0))
  stage.export.mkdir()
  training.train(
    images,
    meshes.make(1),
    training.read_start(config, hands.GESTURES),
    stage,
    config,
    arm='plain',
    key=jax.random.key(0),
  )
  return hand_networks.load(stage.export)


def test_nearly_nothing_is_left_of_a_plain_arm(config, network):
  """Within 8/255, under either attack that is always made."""
  test = draw(106, COUNT)

  def ap50(images):
    objects = battery.detect_objects(network, images, config)
    matches = measure.matches(test, [objects], hands.GESTURES)
    every = np.ones((1, COUNT), int)
    return float(average_precision.ap50(matches, every)[0])

  assert ap50(np.asarray(pixels.to_float(test['image']))) > 0.25
  known = battery.battery(config.attack)
  values = [
    ap50(
      battery.attack_images(
        known[name],
        network,
        test,
        config,
        radius=8 / 255,
        key=jax.random.key(0),
      )
    )
    for name in battery.on_every_image(config.attack)
  ]
  assert min(values) < 0.03

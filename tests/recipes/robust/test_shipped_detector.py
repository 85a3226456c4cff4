"""Attacks on the shipped detector, which nothing defends."""

import jax
import numpy as np
import pytest

from configs import robust as robust_config
from palmjax.data.hands import hands
from palmjax.evals import attacks
from palmjax.evals.detection import average_precision
from palmjax.networks import hand as hand_networks
from palmjax.networks import shipped
from palmjax.ops import pixels
from palmjax.recipes.robust import battery, measure
from palmjax.recipes.shared import hand_images

pytestmark = pytest.mark.slow

COUNT = 8
CONFIG = robust_config.get_config()
RADII = (1, 4, 8, 16)
# Rounding, and boxes that are right by chance.
_CHANCE = 0.02


@pytest.fixture(scope='module')
def network():
  return hand_networks.load(shipped.HAND)


@pytest.fixture(scope='module')
def test():
  return hand_images.draw(
    jax.random.key(5), COUNT, size=CONFIG.image_size, difficulty=0.5
  )


@pytest.fixture(scope='module')
def ap50(network, test):
  """AP50 within a radius in grey levels; without an attack, clean."""

  def measured(attack=None, radius=0):
    images = np.asarray(pixels.to_float(test['image']))
    if attack is not None:
      images = battery.attack_images(
        attack,
        network,
        test,
        CONFIG,
        radius=radius / 255,
        key=jax.random.key(0),
      )
    objects = battery.detect_objects(network, images, CONFIG)
    matches = measure.matches(test, [objects], hands.GESTURES)
    every = np.ones((1, COUNT), int)
    return float(average_precision.ap50(matches, every)[0])

  return measured


@pytest.fixture(scope='module')
def values(ap50):
  """{attack: AP50 of each radius}."""
  known = battery.battery(CONFIG.attack)
  return {
    name: [ap50(known[name], radius) for radius in RADII]
    for name in ('fgsm', 'apgd20-class', 'apgd20-margin', 'square')
  }


def test_precision_falls_as_the_radius_grows(ap50, values):
  """Of one attack alone, no larger radius borrowing from a smaller one."""
  clean = ap50()
  assert clean > 0.3
  for of_attack in values.values():
    before = clean
    for value in of_attack:
      assert value <= before + _CHANCE
      before = value
    assert of_attack[-1] < of_attack[0] - 0.1


def test_nearly_nothing_is_left(values):
  assert min(of_attack[RADII.index(8)] for of_attack in values.values()) < 0.03


def test_gradients_beat_guesses_and_one_step(values):
  for guesses in ('square', 'fgsm'):
    for at in (0, 1):
      assert values['apgd20-class'][at] < values[guesses][at] - 0.1


@pytest.mark.parametrize(
  'algorithm, steps', [(attacks.pgd, (1, 12)), (attacks.apgd, (1, 20))]
)
@pytest.mark.parametrize('radius', [1, 4])
def test_more_steps_never_raise_the_precision(ap50, algorithm, steps, radius):
  """It falls. No slack, though AP50 is not what an attack raises."""
  few, many = (
    ap50(battery.Attack(algorithm, (('num_steps', n),), 'class'), radius)
    for n in steps
  )
  assert many < few


def test_nothing_is_left_of_images_that_may_be_any(ap50):
  attack = battery.battery(CONFIG.attack)[battery.unsaturated(CONFIG.attack)]
  assert ap50(attack, measure.WHOLE) < _CHANCE

"""Which images are attacked, by which attacks, and from which starts."""

import types

import jax
import numpy as np
import pytest

from configs import robust as robust_config
from palmjax.networks import hand as hand_networks
from palmjax.recipes.robust import battery, measure
from tests.recipes.robust import box_sets


def test_chosen_images_are_evenly_spaced():
  tests = {'': {'image': np.arange(10)}, ', other': {'image': np.arange(3)}}
  parts = measure.chosen(tests, 4)
  np.testing.assert_array_equal(parts['']['image'], [0, 3, 6, 9])
  np.testing.assert_array_equal(parts[', other']['image'], [0, 1, 2])


@pytest.fixture
def attacked(test, monkeypatch, tmp_path):
  """Attacks a detector of one arm that finds the hands of some images."""
  calls = []

  def attack_images(attack, network, test, config, *, radius, key, part):
    calls.append((attack.objective, round(255 * radius), key, part.tolist()))
    return test['image'][part]

  def run(arm, share):
    calls.clear()
    # An image is its own number, which tells what is found in it.
    test['image'] = np.tile(
      np.arange(8, dtype=np.uint8)[:, None, None, None], (1, 8, 8, 3)
    )
    whole = box_sets.right(test, share)

    def detect_objects(network, images, config):
      numbers = np.asarray(images)[:, 0, 0, 0]
      if numbers.dtype != np.uint8:  # Clean and corrupted ones.
        return box_sets.right(test, 1.0)
      return {name: array[numbers] for name, array in whole.items()}

    monkeypatch.setattr(hand_networks, 'load', lambda directory: None)
    monkeypatch.setattr(battery, 'attack_images', attack_images)
    monkeypatch.setattr(battery, 'detect_objects', detect_objects)
    stage = types.SimpleNamespace(
      export=tmp_path, name=arm, key=jax.random.key(len(arm))
    )
    measure.attack(
      [test],
      ('hand',),
      jax.random.key(7),
      stage,
      robust_config.get_config(),
      **{arm: tmp_path},
    )
    return measure.read(tmp_path), list(calls)

  return run


def test_where_nothing_is_left_the_two_strongest_attacks_go_on(attacked):
  seen, _ = attacked('plain', 1.0)
  lost, calls = attacked('plain', 0.0)
  radii = {(0, 1.0), (0, 2.0), (0, 4.0), (0, 8.0)}
  assert seen.images.keys() == lost.images.keys() == radii
  assert len(seen.detections) > len(lost.detections)
  at = {r: [o for o, of, *_ in calls if of == r] for r in (1, 2)}
  assert len(at[1]) > 5
  assert at[2] == ['class', 'margin']
  # Any image may be made, once.
  assert [of for _, of, *_ in calls].count(255) == 1
  assert (0, 'apgd20-margin', 255.0) in lost.detections


def test_images_whose_hands_are_lost_are_passed_over(attacked, test):
  """Within larger radii, and not by the two strongest attacks."""
  result, calls = attacked('plain', 0.5)
  whole, seen = [*range(8)], [*range(4)]
  for objective, radius, _, part in calls:
    always = radius in (1, 255) or objective in ('class', 'margin')
    # PGD of the short battery is of the margin, too.
    if objective == 'margin' and radius not in (1, 255):
      assert part in (whole, seen)
    else:
      assert part == (whole if always else seen), (objective, radius)
  assert {len(images) for images in result.images.values()} == {8}
  # What lost the hands stands for the attempts that were spared.
  spared = result.detections[0, 'apgd20-sum', 4.0]
  for name, array in box_sets.right(test, 0.5).items():
    np.testing.assert_array_equal(spared[name], array)


def test_all_arms_are_attacked_from_the_same_starts(attacked):
  (_, plain), (_, other) = (attacked(arm, 1.0) for arm in ('plain', 'ot'))
  keys = [
    [jax.random.key_data(key).tolist() for _, _, key, _ in calls]
    for calls in (plain, other)
  ]
  assert keys[0] == keys[1]
  # But no two attacks within a radius.
  first = [
    tuple(key)
    for key, (_, radius, *_) in zip(keys[0], plain, strict=True)
    if radius == 1
  ]
  assert len(set(first)) == len(first)


def test_a_test_without_boxes_is_not_attacked(attacked, test):
  test['valid'][:] = False
  seen, calls = attacked('plain', 1.0)
  assert calls == []
  assert len(seen.detections) == 1 + 25

"""The worst attack of each radius, and corruptions of images."""

import numpy as np
import pytest

from palmjax.evals.detection import robustness


def test_the_worst_attack_within_a_radius():
  values = {
    ('clean', 0): 0.9,
    ('a', 1): 0.7,
    ('b', 1): 0.6,
    # Weaker than that of the smaller radius, which lies within this one.
    ('a', 2): 0.65,
    ('b', 2): 0.8,
    ('a', 4): 0.1,
  }
  assert robustness.worst(values) == {
    0: ('clean', 0),
    1: ('b', 1),
    2: ('b', 1),
    4: ('a', 4),
  }


@pytest.mark.parametrize('name', robustness.corruptions())
def test_a_stronger_corruption_changes_more(name):
  side = np.linspace(0, 200, 96)
  images = np.stack(
    [
      np.broadcast_to(side[:, None, None], (96, 96, 3)),
      np.random.default_rng(0).uniform(0, 255, (96, 96, 3)),
    ]
  ).astype(np.uint8)
  changes = [
    np.abs(robustness.corrupt(images, name, strength).astype(int) - images)
    for strength in robustness.corruptions()[name]
  ]
  means = [change.mean() for change in changes]
  assert means[0] > 0
  assert means == sorted(means)


def test_a_corruption_by_hand():
  images = np.full((1, 2, 2, 3), 100, np.uint8)
  images[0, 0] = 140
  brighter = robustness.corrupt(images, 'brightness', 0.4)
  np.testing.assert_array_equal(brighter[0, :, 0, 0], [242, 202])
  flatter = robustness.corrupt(images, 'contrast', 0.5)
  np.testing.assert_array_equal(flatter[0, :, 0, 0], [130, 110])
  noisy = [robustness.corrupt(images, 'noise', 0.1, seed=s) for s in (1, 1, 2)]
  np.testing.assert_array_equal(noisy[0], noisy[1])
  assert (noisy[0] != noisy[2]).any()


def test_another_corruption_is_refused():
  with pytest.raises(ValueError, match='fog: choose one of noise, blur'):
    robustness.corrupt(np.zeros((1, 4, 4, 3), np.uint8), 'fog', 1)

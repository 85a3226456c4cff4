import numpy as np
import pytest

from palmjax.evals import bootstrap
from palmjax.evals.detection import operating_point

A, B = [0.0, 0.0, 10.0, 10.0], [50.0, 50.0, 60.0, 60.0]
NEAR_A = [1.0, 0.0, 11.0, 10.0]  # IoU 9 / 11 with A.
BESIDE_A = [6.0, 0.0, 16.0, 10.0]  # IoU 4 / 16.
NOTHING = (np.zeros((0, 4)), np.zeros(0, int))


def values(truths, detections):
  rates = operating_point.rates(
    truths, detections, resampling=bootstrap.Resampling(draws=50)
  )
  return {name: rate['value'] for name, rate in rates.items()}


def test_one_hand_of_two_found_by_the_wrong_name():
  assert values([([A, B], [1, 2])], [([NEAR_A], [3])]) == {
    'missed': 0.5,
    'gesture': 0.0,
    'false': 0.0,
    'false@empty': None,
  }


def test_a_hand_is_taken_once_and_by_the_best_detection():
  rates = values([([A], [1])], [([NEAR_A, A], [1, 2])])
  assert rates['missed'] == 0.0
  assert rates['gesture'] == 1.0
  # The second is one hand too many.
  assert rates['false'] == 1.0


def test_what_overlaps_less_than_half_is_no_hand():
  rates = values([([A], [1])], [([BESIDE_A], [1])])
  assert (rates['missed'], rates['gesture'], rates['false']) == (1, None, 1)


def test_each_detection_takes_what_it_overlaps_most():
  right = [4.0, 0.0, 14.0, 10.0]
  rates = values([([A, right], [1, 2])], [([[3.0, 0, 13, 10], A], [2, 1])])
  assert (rates['missed'], rates['gesture']) == (0.0, 1.0)


def test_images_without_hands():
  truths = [NOTHING, NOTHING, NOTHING, ([A], [1])]
  rates = values(truths, [NOTHING, ([B], [0]), ([A, B], [0, 0]), NOTHING])
  assert rates['false@empty'] == pytest.approx(2 / 3)
  assert rates['false'] == pytest.approx(2 / 4)
  assert rates['missed'] == 1.0


def test_shares_are_of_hands_and_not_of_images():
  truths = [([A, B], [1, 1]), ([A], [1])]
  rates = values(truths, [([A, B], [1, 0]), NOTHING])
  assert rates['missed'] == pytest.approx(1 / 3)
  assert rates['gesture'] == 0.5


def test_intervals_are_over_images():
  generator = np.random.default_rng(0)
  missed = generator.random(400) < 0.2
  truths = [([A], [1])] * 400
  detections = [NOTHING if miss else ([A], [1]) for miss in missed]
  rates = operating_point.rates(truths, detections)
  rate = rates['missed']
  assert rate['value'] == pytest.approx(missed.mean())
  deviation = np.sqrt(0.2 * 0.8 / 400)
  assert rate['high'] - rate['low'] == pytest.approx(3.92 * deviation, rel=0.15)
  # Rule of 3: no wrong gesture was seen.
  assert rates['gesture']['value'] == rates['gesture']['high'] == 1.0
  assert 0.98 < rates['gesture']['low'] < 1.0

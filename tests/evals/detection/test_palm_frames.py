import numpy as np
import pytest

from palmjax.evals import bootstrap
from palmjax.evals.detection import palm_frames

BOX = np.array([0.0, 0.0, 20.0, 40.0])
PALM_FRAME = np.array([[5.0, 10.0], [15.0, 10.0], [10.0, 33.0]])  # 2 d = 20.


def one(boxes, points):
  """Errors of a single true hand."""
  return palm_frames.errors((BOX[None], PALM_FRAME[None]), (boxes, points))


def test_error_is_that_of_the_worse_valley_in_palm_widths():
  moved = np.add(PALM_FRAME, [[0.0, 1.0], [3.0, 4.0], [100.0, 0.0]])
  np.testing.assert_allclose(one([BOX], [moved]), [5 / 20])
  assert one([BOX], [np.add(PALM_FRAME, [1.0, 0.0])]) == [0.05]
  assert one([BOX], [PALM_FRAME]) == [0.0]


def test_every_hand_has_its_own_detection():
  generator = np.random.default_rng(0)
  points = generator.normal(0, 20, (9, 3, 2))
  predicted = points + generator.normal(0, 2, (9, 3, 2))
  # Far from each other: each hand has its own detection.
  boxes = 100.0 * np.arange(9)[:, None] + BOX
  order = generator.permutation(9)
  np.testing.assert_allclose(
    palm_frames.errors((boxes, points), (boxes[order], predicted[order])),
    [
      max(np.hypot(*(mine[k] - true[k])) for k in (0, 1))
      / (2 * np.hypot(*(true[1] - true[0])))
      for mine, true in zip(predicted, points, strict=True)
    ],
  )


def test_the_best_detection_that_overlaps_by_half_counts():
  beside = np.add(BOX, [12, 0, 12, 0])  # IoU 0.25.
  half = np.add(BOX, [0, 0, 0, 40])  # IoU 0.5.
  points = [PALM_FRAME, PALM_FRAME + 4.0, PALM_FRAME]
  np.testing.assert_allclose(
    one([beside, half, BOX], points), [4 * np.sqrt(2) / 20]
  )
  assert one([beside], [PALM_FRAME]) == [np.inf]
  assert one(np.zeros((0, 4)), np.zeros((0, 3, 2))) == [np.inf]
  nothing = (np.zeros((0, 4)), np.zeros((0, 3, 2)))
  none = palm_frames.errors(nothing, nothing)
  assert none.shape == (0,)


def test_who_found_a_hand():
  beside = np.add(BOX, [12, 0, 12, 0])  # IoU 0.25.
  half = np.add(BOX, [0, 0, 0, 40])  # IoU 0.5.
  boxes = np.stack([BOX, BOX + 100.0])
  detected = np.stack([beside, half, BOX])
  assert palm_frames.best_detections(boxes, detected).tolist() == [1, -1]
  assert palm_frames.best_detections(boxes, detected[:0]).tolist() == [-1, -1]
  assert palm_frames.best_detections(boxes[:0], detected).tolist() == []


@pytest.mark.parametrize(
  'boxes, scores, missed',
  [
    ([BOX], [0.3], False),
    ([BOX], [0.29], True),
    ([BOX + 15.0, BOX], [0.9, 0.4], False),
    ([BOX + 15.0], [0.9], True),
    (np.zeros((0, 4)), [], True),
  ],
)
def test_missed(boxes, scores, missed):
  two = np.stack([BOX, BOX + 200.0])  # One of two is enough.
  assert palm_frames.missed(two, (boxes, scores), score=0.3) is missed
  assert not palm_frames.missed(two[:0], (boxes, scores), score=0.3)


def test_shares_of_palm_frames():
  errors = [np.array([0.04, 0.05]), np.array([0.07]), np.array([np.inf])]
  errors = [*errors * 5, np.zeros(0)]
  rates = palm_frames.rates(errors, resampling=bootstrap.Resampling(draws=200))
  assert set(rates) == {'palm_frame@5%', 'palm_frame@10%'}
  assert rates['palm_frame@5%']['value'] == pytest.approx(2 / 4)
  assert rates['palm_frame@10%']['value'] == pytest.approx(3 / 4)
  for rate in rates.values():
    assert 0 < rate['low'] < rate['value'] < rate['high'] < 1
  assert rates == palm_frames.rates(
    errors, resampling=bootstrap.Resampling(draws=200)
  )


def test_hands_of_an_image_are_drawn_together():
  # 16 images of one hand, or 4 of four: as many hands, less is known.
  single = [np.array([0.0]), np.array([1.0])] * 8
  many = [np.zeros(4), np.ones(4)] * 2 + [np.zeros(0)]
  many += [np.zeros(4), np.ones(4)]  # MIN_IDENTITIES images with a palm frame.

  def width(errors):
    rate = palm_frames.rates(
      errors, resampling=bootstrap.Resampling(draws=500)
    )['palm_frame@5%']
    assert rate['value'] == 0.5
    return rate['high'] - rate['low']

  assert width(many) > 1.3 * width(single)


def test_all_found_keeps_the_rule_of_3():
  rate = palm_frames.rates(
    [np.zeros(1)] * 20, resampling=bootstrap.Resampling(draws=50)
  )['palm_frame@5%']
  assert rate['value'] == rate['high'] == 1.0
  assert rate['low'] == pytest.approx(0.05 ** (1 / 20))


def test_no_frame_is_known():
  rates = palm_frames.rates([np.zeros(0)] * 3)
  assert rates['palm_frame@5%'] == {
    'value': None,
    'reason': 'not measurable with 0 palm frames',
  }

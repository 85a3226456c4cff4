import numpy as np
import pytest

from palmjax.evals.detection import box_matching

_ALL, _SMALL = 0, 1


def _boxes(*rows):
  return np.array(rows, np.float32).reshape(-1, 4)


def _match(truth, detections, scores):
  """One image, one class."""
  truths = [(truth, np.zeros(len(truth), int))]
  results = [(detections, np.array(scores), np.zeros(len(scores), int))]
  return box_matching.match(truths, results, names=('hand',))


def greedy_twin(detections, scores, truth, area, t):
  """COCO's matching as it is told: (hit, ignored) by falling score."""

  def size(box):
    return (box[2] - box[0]) * (box[3] - box[1])

  def overlap(a, b):
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    shared = max(width, 0) * max(height, 0)
    return shared / (size(a) + size(b) - shared)

  low, high = area
  taken, hit, ignored = set(), [], []
  for d in sorted(range(len(scores)), key=lambda d: -scores[d]):
    choices = []
    for g in range(len(truth)):
      quality = overlap(detections[d], truth[g])
      if g not in taken and quality >= t:
        choices.append((bool(low <= size(truth[g]) <= high), quality, g))
    counts, _, g = max(choices, default=(None, 0, -1))
    taken.add(g)
    hit.append(counts is True)
    outside = not low <= size(detections[d]) <= high
    ignored.append(counts is False or (counts is None and outside))
  return hit, ignored


def test_each_true_box_is_found_once_by_the_highest_score():
  truth = _boxes([0, 0, 100, 100])
  matches = _match(truth, np.repeat(truth, 3, 0), [0.2, 0.9, 0.5])
  np.testing.assert_array_equal(
    matches.hit[_ALL], np.tile([True, False, False], (10, 1))
  )
  np.testing.assert_array_equal(matches.rank, [0, 1, 2])
  assert matches.truths[_ALL].tolist() == [[1]]
  assert matches.truths[_SMALL].tolist() == [[0]]


def test_threshold_is_reached_at_equality():
  # 60 of 100 square pixels: IoU .6 exactly, found at .50, .55 and .60.
  matches = _match(_boxes([0, 0, 10, 10]), _boxes([0, 0, 6, 10]), [0.5])
  assert matches.hit[_ALL, :, 0].tolist() == [True] * 3 + [False] * 7


def test_detection_takes_the_better_box_and_leaves_the_other():
  truth = _boxes([0, 0, 10, 10], [0, 2, 10, 12])
  detections = _boxes([0, 2, 10, 12], [0, 1, 10, 11])
  matches = _match(truth, detections, [0.9, 0.8])
  # The second: IoU 9/11 with both boxes, one of which is left.
  assert matches.hit[_ALL, :, 0].all()
  np.testing.assert_array_equal(
    matches.hit[_ALL, :, 1], box_matching.IOUS <= 9 / 11
  )


def test_of_equal_overlaps_the_later_box_is_taken():
  truth = _boxes([0, 0, 10, 10], [0, 2, 10, 12])
  # The first overlaps both by 9/11 and leaves the earlier to the second.
  matches = _match(truth, _boxes([0, 1, 10, 11], [0, 0, 10, 10]), [0.9, 0.8])
  assert matches.hit[_ALL, :, 1].all()


def test_a_box_outside_the_area_range_is_ignored_and_second_choice():
  # 30 × 30 is small, 30 × 40 is not. The detection has IoU .8 with both.
  truth = _boxes([0, 0, 30, 40], [0, 0, 30, 30])
  detections = _boxes([0, 0, 30, 36], [0, 0, 30, 40], [50, 50, 60, 60])
  matches = _match(truth, detections, [0.9, 0.8, 0.7])
  # At .5 the first takes the small one, though the other overlaps more.
  assert matches.hit[_SMALL, 0].tolist() == [True, False, False]
  assert matches.ignored[_SMALL, 0].tolist() == [False, True, False]
  # At .85 only the ignored one fits the first; the second finds nothing and
  # is not small itself; the third is an error.
  assert matches.hit[_SMALL, 7].tolist() == [False, False, False]
  assert matches.ignored[_SMALL, 7].tolist() == [True, True, False]
  assert not matches.ignored[_ALL].any()


@pytest.mark.parametrize('seed', range(3))
def test_matches_equal_the_twin(seed):
  generator = np.random.default_rng(seed)
  truths, detections = [], []
  for _ in range(20):
    corner = generator.integers(0, 60, (generator.integers(0, 5), 2))
    truth = np.concatenate([corner, corner + 36], 1).astype(np.float32)
    # Few places and few scores: ties of IoU and of score.
    picks = generator.integers(0, max(len(truth), 1), 8 if len(truth) else 0)
    moved = truth[picks] + generator.integers(-6, 7, (len(picks), 4))
    truths.append((truth, np.zeros(len(truth), int)))
    scores = generator.integers(0, 4, len(picks)) / 4
    detections.append((moved, scores, np.zeros(len(picks), int)))
  matches = box_matching.match(truths, detections, names=())
  for i, ((truth, _), (boxes, scores, _)) in enumerate(
    zip(truths, detections, strict=True)
  ):
    # By image and rank, as the twin has them.
    mine = np.flatnonzero(matches.image == i)
    mine = mine[np.argsort(matches.rank[mine])]
    for a, area in enumerate(box_matching.AREAS.values()):
      for t, threshold in enumerate(box_matching.IOUS):
        hit, ignored = greedy_twin(boxes, scores, truth, area, threshold)
        assert matches.hit[a, t, mine].tolist() == hit
        assert matches.ignored[a, t, mine].tolist() == ignored
  assert 0.2 < matches.hit[_ALL, 0].mean() < 0.8


def test_classes_and_images_are_apart():
  box = _boxes([0, 0, 10, 10])
  truths = [(box, [1]), (box[:0], []), (box, [0])]
  detections = [(box, [0.3], [0]), (box, [0.9], [1]), (box, [0.5], [0])]
  matches = box_matching.match(truths, detections, names=('a', 'b'))
  # By class, then by score.
  assert matches.label.tolist() == [0, 0, 1]
  assert matches.image.tolist() == [2, 0, 1]
  assert matches.hit[_ALL, 0].tolist() == [True, False, False]
  agnostic = box_matching.match(truths, detections, names=())
  assert agnostic.image.tolist() == [1, 2, 0]
  assert agnostic.hit[_ALL, 0].tolist() == [False, True, True]


def test_at_most_100_detections_of_a_class_in_an_image():
  truth = _boxes([0, 0, 10, 10])
  detections = np.repeat(_boxes([20, 20, 30, 30]), 101, 0)
  detections[0] = truth  # With the lowest score.
  matches = _match(truth, detections, np.arange(101))
  assert len(matches.rank) == 100
  assert not matches.hit.any()


def test_iou_of_boxes_without_area_is_0():
  point = np.array([[1.0, 1.0, 1.0, 1.0]])
  assert box_matching.iou(point, point).tolist() == [0.0]


@pytest.mark.parametrize(
  'truths, detections, message',
  [
    ([], [], 'give both for each image'),
    ([(_boxes(), [])], [], '1 images with true boxes and 0 with'),
    (
      [(_boxes(), [])],
      [(_boxes([0, 0, 1, np.nan]), [0.1], [0])],
      'Detections hold NaN',
    ),
    (
      [(_boxes(), [])],
      [(_boxes([0, 0, 1, 1]), [np.inf], [0])],
      'Detections hold NaN',
    ),
    ([(_boxes([5, 0, 1, 1]), [0])], [(_boxes(), [], [])], 'are inverted'),
    (
      [(_boxes([0, 0, 1, 1]), [2])],
      [(_boxes(), [], [])],
      'classes 2 to 2, but there are 2 names',
    ),
  ],
)
def test_impossible_input(truths, detections, message):
  with pytest.raises(ValueError, match=message):
    box_matching.match(truths, detections, names=('a', 'b'))

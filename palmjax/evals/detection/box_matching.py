"""Matches detected boxes with true boxes by IoU, by the rule of COCO.

Within one image and class, detections take turns by falling score. At the IoU
threshold t a detection takes, of the true boxes still free with IoU ≥ t, the
one with the highest IoU; each true box is found once. Counted in an area range,
true boxes outside it are ignored, not missed: they are taken only where no
other fits, and a detection that takes one, or finds nothing and lies outside
the range itself, is ignored too (cocodataset.org/#detection-eval).
"""

from typing import NamedTuple

import chex
import numpy as np

IOUS = np.linspace(0.5, 0.95, 10)
# Of a class in an image; what scores lower does not count.
MAX_DETECTIONS = 100
# Square pixels, both ends included.
AREAS = {
  'all': (0.0, np.inf),
  'small': (0.0, 32.0**2),
  'medium': (32.0**2, 96.0**2),
  'large': (96.0**2, np.inf),
}


class Matches(NamedTuple):
  """Matched detections: hit or ignored at each area range and IoU.

  Sorted by class, then falling score; equal scores by image.

  Attributes:
    names: K class names; () where classes were not told apart (K = 1).
    image: int64 [D], in 0..I-1.
    label: int64 [D], class in 0..K-1.
    rank: int64 [D], among the detections of its class in its image, from 0.
    hit: bool [A, T, D], finds a true box.
    ignored: bool [A, T, D], is no error either.
    truths: int64 [A, I, K], true boxes that count.
  """

  names: tuple[str, ...]
  image: np.ndarray
  label: np.ndarray
  rank: np.ndarray
  hit: np.ndarray
  ignored: np.ndarray
  truths: np.ndarray


class _Boxes(NamedTuple):
  """Boxes of all images in one list; group = image · K + class."""

  box: np.ndarray
  group: np.ndarray
  score: np.ndarray


def match(truths, detections, *, names) -> Matches:
  """Matches the detections of I images with their true boxes.

  Args:
    truths: I pairs (boxes float [n, 4], classes integer [n]). Boxes are x0, y0,
      x1, y1 in pixels, classes in 0..K-1; n may be 0.
    detections: I triples (boxes float [m, 4], scores float [m], classes
      integer [m]), in any order.
    names: K class names; () takes all boxes as one class.

  Returns:
    `Matches`.

  Raises:
    ValueError: no image, not as many images in both, a value that is not
      finite, an inverted box, or a class outside 0..K-1.
  """
  truths, detections = list(truths), list(detections)
  if not truths or len(truths) != len(detections):
    raise ValueError(
      f'{len(truths)} images with true boxes and {len(detections)} with '
      'detections: give both for each image, of one image or more.'
    )
  num_classes = max(len(names), 1)
  true = _flatten(
    [(boxes, np.zeros(len(boxes)), classes) for boxes, classes in truths],
    names,
    'True boxes',
  )
  detected = _flatten(detections, names, 'Detections')
  rank = _rank_in_group(detected.group)
  detected = _Boxes(*(part[rank < MAX_DETECTIONS] for part in detected))
  rank = rank[rank < MAX_DETECTIONS]

  shape = (len(AREAS), len(IOUS), len(rank))
  hit, ignored = np.zeros(shape, bool), np.zeros(shape, bool)
  counted = np.zeros((len(AREAS), len(truths) * num_classes), np.int64)
  pairs = _overlapping(detected, true)
  for a, area in enumerate(AREAS.values()):
    counts = _inside(true.box, area)
    np.add.at(counted[a], true.group[counts], 1)
    hit[a], ignored[a] = _take_turns(detected.group, counts, *pairs)
    ignored[a] |= ~hit[a] & ~_inside(detected.box, area)

  image, label = detected.group // num_classes, detected.group % num_classes
  order = np.lexsort((-detected.score, label))
  return Matches(
    names=tuple(names),
    image=image[order],
    label=label[order],
    rank=rank[order],
    hit=hit[:, :, order],
    ignored=ignored[:, :, order],
    truths=counted.reshape(len(AREAS), len(truths), num_classes),
  )


def _flatten(images, names, what):
  """`_Boxes` sorted by group, then falling score, then class."""
  images = [tuple(map(np.asarray, image)) for image in images]
  for boxes, scores, classes in images:
    chex.assert_shape(boxes, (len(boxes), 4))
    chex.assert_shape([scores, classes], (len(boxes),))
  box, score, label = (
    np.concatenate([image[k] for image in images]) for k in range(3)
  )
  # Differences of float32 corners would move an IoU across its threshold.
  box, label = box.astype(np.float64), label.astype(np.int64)
  if not (np.isfinite(box).all() and np.isfinite(score).all()):
    raise ValueError(f'{what} hold NaN or infinity: check the detector.')
  if (box[:, 2:] < box[:, :2]).any():
    raise ValueError(f'{what} are inverted: give x0, y0, x1, y1.')
  if names and len(label) and not 0 <= label.min() <= label.max() < len(names):
    raise ValueError(
      f'{what} have classes {label.min()} to {label.max()}, but there are '
      f'{len(names)} names.'
    )
  group = np.repeat(np.arange(len(images)), [len(b) for b, *_ in images])
  if names:
    group = group * len(names) + label
  order = np.lexsort((label, -score, group))
  return _Boxes(box[order], group[order], score[order])


def _rank_in_group(group):
  """Position of each entry of the sorted `group` [D] within its group."""
  return np.arange(len(group)) - np.searchsorted(group, group)


def _inside(boxes, area):
  size = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
  return (area[0] <= size) & (size <= area[1])


def _overlapping(detected, true):
  """(detection, true box, IoU), each [P], of the pairs that may match."""
  first = np.searchsorted(true.group, detected.group, 'left')
  count = np.searchsorted(true.group, detected.group, 'right') - first
  detection = np.repeat(np.arange(len(count)), count)
  start = np.repeat(np.cumsum(count) - count, count)
  truth = np.repeat(first, count) + np.arange(len(detection)) - start
  overlap = iou(detected.box[detection], true.box[truth])
  likely = overlap >= IOUS[0]
  return detection[likely], truth[likely], overlap[likely]


def iou(first, second):
  """Intersection over union of boxes [..., 4] with boxes [..., 4]: [...]."""
  low = np.maximum(first[..., :2], second[..., :2])
  high = np.minimum(first[..., 2:], second[..., 2:])
  shared = np.prod(np.maximum(high - low, 0.0), axis=-1)
  sizes = [np.prod(b[..., 2:] - b[..., :2], axis=-1) for b in (first, second)]
  union = sizes[0] + sizes[1] - shared
  # Two boxes without area share nothing.
  return shared / np.where(union > 0.0, union, 1.0)


def _take_turns(group, counts, detection, truth, overlap):
  """(hit, ignored), each [T, D], with the true boxes that `counts` [G]."""
  hit = np.zeros((len(IOUS), len(group)), bool)
  ignored = np.zeros_like(hit)
  free = np.ones((len(counts), len(IOUS)), bool)
  # Most wanted first; of equal IoU the later box, as in pycocotools.
  order = np.lexsort((-truth, -overlap, ~counts[truth], detection))
  detection, truth, overlap = (x[order] for x in (detection, truth, overlap))
  # In turn r the r-th detection of every group chooses: no two share a box.
  choosing = np.unique(detection)
  turn = _rank_in_group(group[choosing])
  turn = turn[np.searchsorted(choosing, detection)]
  for pairs in _split(turn):
    fits = free[truth[pairs]] & (overlap[pairs, None] >= IOUS)
    row, t = np.nonzero(fits)
    # The first fitting pair of each detection and threshold.
    who = detection[pairs][row] * len(IOUS) + t
    _, chosen = np.unique(who, return_index=True)
    row, t = pairs[row[chosen]], t[chosen]
    free[truth[row], t] = False
    hit[t, detection[row]] = counts[truth[row]]
    ignored[t, detection[row]] = ~counts[truth[row]]
  return hit, ignored


def _split(turn):
  """Indices of the pairs of each turn 0, 1, …, each rising."""
  order = np.argsort(turn, kind='stable')
  return np.split(order, np.cumsum(np.bincount(turn))[:-1])

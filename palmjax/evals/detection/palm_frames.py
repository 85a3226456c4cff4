"""Errors of detected palm frames: the two valleys that define a palm's ROI.

A true hand whose palm frame is known is found where the best detection that
overlaps its box by half (IoU ≥ .5) has both valleys within a share of the palm
width, 2 d, d being the distance of the true valleys. A hand that was not
detected was not found. Intervals resample images.
"""

import chex
import numpy as np

from palmjax.evals import bootstrap
from palmjax.evals.detection import box_matching
from palmjax.evals.recognition import error_rates

SHARES = (0.05, 0.1)


def best_detections(boxes, detected):
  """Index of the best detection of each true box (IoU ≥ 0.5), or −1.

  Args:
    boxes: float [n, 4].
    detected: float [K, 4], best first.

  Returns:
    int [n], its number; −1 where there is none.
  """
  if not len(boxes) or not len(detected):
    return np.full(len(boxes), -1)
  overlap = box_matching.iou(boxes[:, None], detected[None]) >= 0.5
  return np.where(overlap.any(axis=1), overlap.argmax(axis=1), -1)


def errors(truths, detections):
  """Valley errors of the true palm frames of one image.

  Args:
    truths: (boxes float [n, 4], points float [n, 3, 2]) of hands whose palm
      frame is known.
    detections: (boxes [K, 4], points [K, 3, 2]), best first.

  Returns:
    float64 [n], error of the worse valley in palm widths; inf: not detected.
  """
  boxes, points = (np.asarray(values, np.float64) for values in truths)
  detected, read = (np.asarray(values, np.float64) for values in detections)
  chex.assert_shape([points, read], [(len(boxes), 3, 2), (len(detected), 3, 2)])
  best = best_detections(boxes, detected)
  if not len(boxes) or not len(detected):
    return np.full(len(boxes), np.inf)
  miss = np.linalg.norm(read[best] - points, axis=-1)[:, :2].max(axis=1)
  width = 2 * np.linalg.norm(points[:, 1] - points[:, 0], axis=-1)
  return np.where(best >= 0, miss / np.maximum(width, 1e-9), np.inf)


def missed(truths, detections, *, score):
  """Returns True where an image shows hands and no true hand was detected.

  Args:
    truths: boxes float [n, 4].
    detections: (boxes [K, 4], scores [K]).
    score: a detection with less is none.
  """
  boxes, scores = map(np.asarray, detections)
  boxes = boxes[scores >= score]
  overlap = box_matching.iou(np.asarray(truths)[:, None], boxes[None]) >= 0.5
  return bool(len(truths)) and not overlap.any()


def rates(valley_errors, *, resampling=bootstrap.DEFAULT):
  """Shares of palm frames within each of `SHARES`, with intervals over images.

  Args:
    valley_errors: list of `errors`, one array for each image.
    resampling: of the intervals.

  Returns:
    {'palm_frame@5%': {'value', 'low', 'high'}, 'palm_frame@10%': …}, or
    {'value': None, 'reason'} where no palm frame is known.
  """
  counts = np.array([len(row) for row in valley_errors])
  names = [f'palm_frame@{100 * share:g}%' for share in SHARES]
  if not counts.sum():
    reason = 'not measurable with 0 palm frames'
    return {name: {'value': None, 'reason': reason} for name in names}
  hits = np.array(
    [[np.sum(row <= share) for share in SHARES] for row in valley_errors]
  )
  weights = bootstrap.draw(len(valley_errors), resampling)
  weights = weights[weights @ counts > 0]
  values = hits.sum(axis=0) / counts.sum()
  low, high = bootstrap.bounds(
    (weights @ hits) / (weights @ counts)[:, None],
    values,
    resampling.confidence,
    num_independent=int(np.count_nonzero(counts)),
    best=np.ones(len(SHARES)),
  )
  return error_rates.metrics(names, values, low, high)

"""Errors of a detector at one score: hands missed, misnamed, invented.

Average precision runs over all scores and lets a detector name one hand twice,
once as each gesture it may be. In use every hand has one gesture and one score
decides. Detections take turns, best first; each takes, of the true hands still
free that its box overlaps by half (IoU ≥ .5), the one that it overlaps most.

  missed       share of the true hands that no detection took
  gesture      share of the found hands whose gesture is right
  false        share of the images with a detection that took no hand
  false@empty  the same of the images that show no hand

Intervals resample images.
"""

import chex
import numpy as np

from palmjax.evals import bootstrap
from palmjax.evals.detection import box_matching
from palmjax.evals.recognition import error_rates

_LEAST_OVERLAP = 0.5
# The rate without any error.
_BEST = {'missed': 0.0, 'gesture': 1.0, 'false': 0.0, 'false@empty': 0.0}


def rates(truths, detections, *, resampling=bootstrap.DEFAULT):
  """Shares of hands missed, misnamed and invented, with intervals.

  Args:
    truths: I pairs (boxes float [n, 4], classes integer [n]).
    detections: I pairs (boxes float [m, 4], classes integer [m]), best first,
      of what is taken for a hand only.
    resampling: of the interval.

  Returns:
    {'missed': {'value', 'low', 'high'}, …}, or {'value': None, 'reason'} where
    there is nothing to take a share of.
  """
  counts = np.array(
    [
      _count(true, detected)
      for true, detected in zip(truths, detections, strict=True)
    ],
    np.int64,
  ).reshape(-1, len(_BEST), 2)
  weights = bootstrap.draw(len(counts), resampling)
  metrics = {}
  for k, (name, best) in enumerate(_BEST.items()):
    errors, chances = counts[:, k].T
    if not chances.sum():
      reason = 'not measurable with 0 of them'
      metrics[name] = {'value': None, 'reason': reason}
      continue
    drawn = weights[weights @ chances > 0]
    value = np.array([errors.sum() / chances.sum()])
    low, high = bootstrap.bounds(
      ((drawn @ errors) / (drawn @ chances))[:, None],
      value,
      resampling.confidence,
      num_independent=int(np.count_nonzero(chances)),
      best=np.array([best]),
    )
    metrics |= error_rates.metrics([name], value, low, high)
  return metrics


def _count(true, detected):
  """(counted, of so many) of each share in one image, [4, 2]."""
  (boxes, classes), (mine, named) = (
    (np.asarray(b, np.float64).reshape(-1, 4), np.asarray(c))
    for b, c in (true, detected)
  )
  chex.assert_shape([classes, named], [(len(boxes),), (len(mine),)])
  overlap = box_matching.iou(mine[:, None], boxes[None])
  free, right, invented = np.ones(len(boxes), bool), 0, 0
  for row, gesture in zip(overlap, named, strict=True):
    fits = np.where(free, row, 0.0)
    if not len(boxes) or fits.max() < _LEAST_OVERLAP:
      invented += 1
      continue
    taken = fits.argmax()
    free[taken] = False
    right += int(classes[taken] == gesture)
  some, empty = int(invented > 0), int(not len(boxes))
  hits = int(np.sum(~free))
  return [
    (len(boxes) - hits, len(boxes)),
    (right, hits),
    (some, 1),
    (some * empty, empty),
  ]

"""Average precision and recall of detectors, as COCO defines them.

With the detections of one class in order of falling score, of which each finds
a true box (`box_matching`) or is an error,

  recall(n)     = found among the first n / true boxes
  precision(n)  = found among the first n / n
  AP            = mean over r = 0, .01, …, 1 of the highest precision(n) with
                  recall(n) ≥ r
  AR@m          = found / true boxes, with the m best detections of each image

A class without a true box has neither. `ap` is the mean over the classes and
the IoU thresholds .50, .55, …, .95, `ap50` and `ap75` are at one threshold.

Intervals resample images. Matching knows one image only, so it is done once; an
image that comes w times counts its boxes and detections w times in the sums.
The AP of few images reads high, the highest precision being so by chance too:
of normal scores, by .02 at 40 images and .01 at 150, and the intervals of 95 %
hold the value of many images in 91 and 94 of 100 cases.
"""

import chex
import numpy as np

from palmjax.evals import bootstrap
from palmjax.evals.detection import box_matching
from palmjax.evals.recognition import error_rates

RECALLS = np.linspace(0.0, 1.0, 101)
AR_DETECTIONS = (1, 10, 100)
# Resamples × detections at a time: bounds the memory.
CHUNK = 4_000_000


def evaluate(
  truths,
  detections,
  *,
  names,
  resampling=bootstrap.DEFAULT,
) -> dict:
  """Matches boxes and returns AP, AP50 and AR; see `rates`."""
  return rates(
    box_matching.match(truths, detections, names=names),
    resampling=resampling,
  )


def rates(
  matches: box_matching.Matches,
  *,
  resampling=bootstrap.DEFAULT,
) -> dict:
  """AP and AR with bootstrap intervals over images.

  Args:
    matches: of all images, from `box_matching.match`.
    resampling: of the interval.

  Returns:
    {'ap': …, 'ap50': …, 'ap75': …, 'ap@area=small': … and of the other areas,
    'ar@1': … and of the other counts, 'ap@class=five': … and of the other
    classes where they were told apart}, each {'value', 'low', 'high'}, or
    {'value': None, 'reason': …} where there is no true box.
  """
  weights = _weights(matches, resampling)
  # Images with a true box, for each metric: only these can show a miss.
  independent, columns = weighted(matches, weights)
  metrics = {}
  for name, column in columns.items():
    if np.isnan(column[0]):
      metrics[name] = {'value': None, 'reason': 'not measurable with 0 boxes'}
      continue
    # Draws without a true box measure nothing.
    resamples = column[1:][~np.isnan(column[1:])]
    low, high = bootstrap.bounds(
      resamples[:, None],
      column[:1],
      resampling.confidence,
      num_independent=independent[name],
      best=np.ones(1),
    )
    metrics |= error_rates.metrics([name], column[:1], low, high)
  return metrics


def difference(
  matches,
  baseline,
  *,
  metric='ap',
  resampling=bootstrap.DEFAULT,
) -> dict:
  """Difference of AP of two detectors on the same images, with interval.

  Args:
    matches, baseline: of `box_matching.match`, of the same truths.
    metric: a name that `rates` returns.
    resampling: of the interval; both are resampled alike.

  Returns:
    {'value', 'low', 'high'}, see `bootstrap.difference_bounds`; or {'value':
    None, 'reason': …}.

  Raises:
    ValueError: the truths differ.
  """
  if not np.array_equal(matches.truths, baseline.truths):
    raise ValueError('Detectors of different images cannot be compared.')
  weights = _weights(matches, resampling)
  independent, mine = weighted(matches, weights)
  gain = mine[metric] - weighted(baseline, weights)[1][metric]
  if np.isnan(gain[0]):
    return {'value': None, 'reason': 'not measurable with 0 boxes'}
  low, high = bootstrap.difference_bounds(
    gain[1:][~np.isnan(gain[1:])],
    gain[0],
    resampling.confidence,
    num_independent=independent[metric],
    alike=are_alike(matches, baseline),
  )
  return error_rates.metrics(['gain'], gain[:1], [low], [high])['gain']


def are_alike(matches, baseline):
  """Whether two detectors found the same, and found something at all.

  Detectors that find nothing are alike on these images only.
  """
  pairs = zip(matches, baseline, strict=True)
  return bool(matches.hit.any()) and all(
    np.array_equal(one, other) for one, other in pairs
  )


def precision_recall(matches, *, threshold=0.5, label=0):
  """Precision-recall curve of one class at one IoU threshold.

  Args:
    matches: from `box_matching.match`.
    threshold: one of `box_matching.IOUS`.
    label: of the class.

  Returns:
    (recall, precision), each float64 [101]: recall 0, .01, …, 1 and the best
    precision at that recall or more.

  Raises:
    ValueError: no such threshold, or the class has no true box.
  """
  (t,) = np.nonzero(np.isclose(box_matching.IOUS, threshold))
  total = matches.truths[0, :, label].sum()
  if not len(t) or not total:
    raise ValueError(
      f'no curve at IoU {threshold:g} of a class with {total} true boxes: '
      'thresholds are .50, .55, …, .95'
    )
  mine = matches.label == label
  kept = ~matches.ignored[0, t[0], mine]
  hits = np.cumsum(matches.hit[0, t[0], mine])[kept]
  precision = _best_precision(
    hits[None], np.arange(1, len(hits) + 1)[None], np.array([total])
  )
  return RECALLS, precision[0]


def _weights(matches, resampling):
  """[1 + R, I]: every image once, then as often as a resample draws it."""
  _, num_images, _ = matches.truths.shape
  draws = bootstrap.draw(num_images, resampling)
  return np.concatenate([np.ones((1, num_images), np.int64), draws])


def weighted(matches, weights):
  """AP and AR at weights [R, I]: (images with a true box, values [R])."""
  areas, counts = list(box_matching.AREAS), matches.truths > 0
  ap = np.stack(
    [_average_precision(matches, weights, a) for a in range(len(areas))]
  )
  with_box = counts.any(axis=2).sum(axis=1)
  independent, columns = {}, {}

  def add(name, values, images):
    columns[name], independent[name] = values, images

  overall = _mean(ap.mean(axis=3), axis=2)  # [A, R]
  add('ap', overall[0], with_box[0])
  for percent in (50, 75):
    (t,) = np.flatnonzero(np.isclose(box_matching.IOUS, percent / 100))
    add(f'ap{percent}', _mean(ap[0, :, :, t], axis=1), with_box[0])
  for area, values, images in zip(areas, overall, with_box, strict=True):
    if area != 'all':
      add(f'ap@area={area}', values, images)
  for most in AR_DETECTIONS:
    recall = _average_recall(matches, weights, most)
    add(f'ar@{most}', _mean(recall, axis=1), with_box[0])
  for k, name in enumerate(matches.names):
    images = np.count_nonzero(counts[0, :, k])
    add(f'ap@class={name}', ap[0, :, k].mean(axis=1), images)
  return independent, columns


def ap50(matches, weights):
  """AP50 alone at weights [R, I]: float64 [R], nan without a true box."""
  place = int(np.flatnonzero(np.isclose(box_matching.IOUS, 0.5))[0])
  ap = _average_precision(matches, weights, 0, (place,))
  return _mean(ap[..., place], axis=1)


def images_with_box(matches):
  """Number of images with a true box: only these can show a miss."""
  return int((matches.truths[0] > 0).any(axis=1).sum())


def _mean(values, axis):
  """The mean of what is a number; nan where nothing is."""
  known = ~np.isnan(values)
  number = known.sum(axis=axis)
  total = np.where(known, values, 0.0).sum(axis=axis)
  return np.where(number > 0, total / np.maximum(number, 1), np.nan)


def _average_recall(matches, weights, most):
  """Recall of the `most` best detections: float64 [R, K], mean over IoU."""
  _, num_images, num_classes = matches.truths.shape
  hits = np.zeros((num_images, num_classes), np.int64)
  best = matches.rank < most
  np.add.at(
    hits,
    (matches.image[best], matches.label[best]),
    matches.hit[0][:, best].sum(axis=0),
  )
  total = weights @ matches.truths[0]
  hits = weights @ hits / len(box_matching.IOUS)
  return np.where(total > 0, hits / np.maximum(total, 1), np.nan)


def _average_precision(matches, weights, a, thresholds=None):
  """AP in area range number `a`, images counted by weights: [R, K, T].

  Where `thresholds`, numbers of IoUs, are given, the others are nan.
  """
  if thresholds is None:
    thresholds = range(len(box_matching.IOUS))
  truths = weights @ matches.truths[a]
  num_resamples, num_classes = truths.shape
  ap = np.full((num_resamples, num_classes, len(box_matching.IOUS)), np.nan)
  for k in range(num_classes):
    mine = np.flatnonzero(matches.label == k)
    image = matches.image[mine]
    hit, ignored = matches.hit[a][:, mine], matches.ignored[a][:, mine]
    # Few detections fit any true box. What the others are is the same at all
    # thresholds: their sum needs one pass.
    fits = (hit.any(axis=0)) | (ignored != ignored[:1]).any(axis=0)
    places = np.flatnonzero(fits)
    others = np.flatnonzero(~fits & ~ignored[0])
    before = np.searchsorted(others, places)
    rows = max(1, CHUNK // max(len(mine), 1))
    for start in range(0, num_resamples, rows):
      part = slice(start, start + rows)
      w = weights[part].astype(np.int32)
      errors = np.zeros((len(w), len(others) + 1), np.int32)
      np.cumsum(w[:, image[others]], axis=1, out=errors[:, 1:])
      errors = errors[:, before]
      w = w[:, image[places]]
      for t in thresholds:
        at = np.flatnonzero(hit[t, places])
        hits = np.cumsum(w[:, at], axis=1)
        counted = np.cumsum(w * ~ignored[t, places], axis=1)[:, at]
        counted += errors[:, at]
        precision = _best_precision(hits, counted, truths[part, k])
        ap[part, k, t] = precision.mean(axis=1)
  ap[truths == 0] = np.nan
  return ap


def _best_precision(hits, counted, truths):
  """The best precision at each of `RECALLS` or more.

  Args:
    hits: integer [R, N], found among the first detections; of all, or of
      those that find something: precision is best there.
    counted: integer [R, N], those of them that count.
    truths: integer [R], true boxes.

  Returns:
    float64 [R, 101].
  """
  chex.assert_equal_shape([hits, counted])
  recall = hits / np.maximum(truths, 1)[:, None]
  precision = np.zeros((len(hits), hits.shape[1] + 1))
  np.divide(hits, counted, out=precision[:, :-1], where=counted > 0)
  best = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
  first = np.array([row.searchsorted(RECALLS) for row in recall])
  return np.take_along_axis(best, first, axis=1)

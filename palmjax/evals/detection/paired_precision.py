"""AP50 of detectors on the same images: differences, ratios and means.

Each resample of the images is one of all detectors. `average_precision` has the
difference of any rate, which takes longer.
"""

import numpy as np

from palmjax.evals import bootstrap
from palmjax.evals.detection import average_precision
from palmjax.evals.recognition import error_rates

_NO_BOXES = 'not measurable with 0 boxes'


def ratio(matches, baseline, *, resampling=bootstrap.DEFAULT) -> dict:
  """AP50 of a detector over that of a baseline, with interval.

  Args:
    matches, baseline: of `box_matching.match`, of the same truths.
    resampling: of the interval; both are resampled alike.

  Returns:
    {'value', 'low', 'high'}, or {'value': None, 'reason': …}: the baseline is
    0, or it is 0 in so many resamples that the interval has no end. Where both
    are 0 the ratio counts as 0 for the lower end and as infinite for the upper.
    Where all resamples agree the AP50 above the fraction bar may be off by the
    rule of 3.

  Raises:
    ValueError: the truths differ.
  """
  above, below = (
    _values(one, resampling) for one in _same_truths([matches, baseline])
  )
  if np.isnan(below[0]):
    return {'value': None, 'reason': _NO_BOXES}
  if not below[0]:
    return {'value': None, 'reason': 'the AP50 to divide by is 0'}
  count = average_precision.images_with_box(matches)
  if count < bootstrap.MIN_IDENTITIES:
    return {
      'value': None,
      'reason': f'not measurable with {count} images with a box',
    }
  value = above[0] / below[0]
  known = ~np.isnan(below[1:])
  above, below = above[1:][known], below[1:][known]
  with np.errstate(divide='ignore', invalid='ignore'):
    quotients = above / below
  empty = np.isnan(quotients)
  (low, _), (_, high) = (
    bootstrap.interval(
      np.where(empty, instead, quotients), value, resampling.confidence, count
    )
    for instead in (0.0, np.inf)
  )
  if not np.isfinite(high):
    share = np.mean(below == 0)
    reason = f'the AP50 to divide by is 0 in {100 * share:.0f} % of resamples'
    return {'value': None, 'reason': reason}
  if low == high and not average_precision.are_alike(matches, baseline):
    reach = bootstrap.unseen_share(resampling.confidence, count)
    # Every resample has this quotient; below the bar they may differ.
    reach /= below.mean()
    low, high = max(low - reach, 0.0), high + reach
  return error_rates.metrics(['ratio'], [value], [low], [high])['ratio']


def difference(matches, baseline, *, resampling=bootstrap.DEFAULT) -> dict:
  """AP50 of a detector less that of a baseline, with interval.

  Args:
    matches, baseline: of `box_matching.match`, of the same truths.
    resampling: of the interval; both are resampled alike.

  Returns:
    {'value', 'low', 'high'}, as of `average_precision.difference`.

  Raises:
    ValueError: the truths differ.
  """
  more, less = (
    _values(one, resampling) for one in _same_truths([matches, baseline])
  )
  gain = more - less
  if np.isnan(gain[0]):
    return {'value': None, 'reason': _NO_BOXES}
  low, high = bootstrap.difference_bounds(
    gain[1:][~np.isnan(gain[1:])],
    gain[0],
    resampling.confidence,
    num_independent=average_precision.images_with_box(matches),
    alike=average_precision.are_alike(matches, baseline),
  )
  return error_rates.metrics(['gain'], gain[:1], [low], [high])['gain']


def mean(models, *, resampling=bootstrap.DEFAULT) -> dict:
  """Mean AP50 of several sets of detections on the same images.

  Args:
    models: list of `box_matching.Matches` of the same truths.
    resampling: of the interval; all are resampled alike.

  Returns:
    {'value', 'low', 'high'}, or {'value': None, 'reason': …} without a box.

  Raises:
    ValueError: the truths differ.
  """
  values = np.mean(
    [_values(one, resampling) for one in _same_truths(models)], axis=0
  )
  if np.isnan(values[0]):
    return {'value': None, 'reason': _NO_BOXES}
  low, high = bootstrap.bounds(
    values[1:][~np.isnan(values[1:]), None],
    values[:1],
    resampling.confidence,
    num_independent=average_precision.images_with_box(models[0]),
    # All found, or all lost: every resample agrees, other images need not.
    best=np.where(values[:1] == 0, 0.0, 1.0),
  )
  return error_rates.metrics(['mean'], values[:1], low, high)['mean']


def _same_truths(models):
  if any(
    not np.array_equal(models[0].truths, one.truths) for one in models[1:]
  ):
    raise ValueError('Detectors of different images cannot be compared.')
  return models


def _values(matches, resampling):
  """AP50 of all images, then of each resample: [1 + R]."""
  _, count, _ = matches.truths.shape
  draws = bootstrap.draw(count, resampling)
  every = np.ones((1, count), draws.dtype)
  return average_precision.ap50(matches, np.concatenate([every, draws]))

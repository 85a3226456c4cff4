"""How much of the way from one model to another a third one has come."""

import numpy as np

from palmjax.evals import bootstrap


def closed(model, baseline, goal, *, resampling=bootstrap.DEFAULT):
  """Share of the gap between two EERs that a model closes, with interval.

    (EER of the baseline − EER of the model) / (EER of the baseline − EER of
    the goal)

  1 is as good as the goal, 0 as bad as the baseline. Each resample draws the
  same identities for all three.

  Args:
    model, baseline, goal: `verification.PairScores` of the same images.
    resampling: of the interval.

  Returns:
    {'value', 'low', 'high'}; {'value': None, 'reason': …} where the goal is no
    better than the baseline, or not surely so.

  Raises:
    ValueError: the models saw different images.
  """
  for other in (baseline, goal):
    if not (
      np.array_equal(model.images, other.images)
      and np.array_equal(model.within, other.within)
    ):
      raise ValueError('A gap needs all models on the same labelled images.')
  identities = np.count_nonzero(np.bincount(model.genuine_identity))
  if identities < bootstrap.MIN_IDENTITIES:
    reason = f'not measurable with {identities} identities'
    return {'value': None, 'reason': reason}
  values, resamples = bootstrap.resample(
    [model, baseline, goal], (), resampling
  )
  mine, worst, best = resamples[:, :, 0]
  gaps = worst - best
  tail = bootstrap.expanded_tail(resampling.confidence, identities)
  if values[1, 0] <= values[2, 0] or np.mean(gaps <= 0) > tail:
    return {
      'value': None,
      'reason': 'the goal is not surely better than the baseline',
    }
  value = (values[1, 0] - values[0, 0]) / (values[1, 0] - values[2, 0])
  kept = gaps > 0
  low, high = bootstrap.interval(
    (worst - mine)[kept] / gaps[kept],
    value,
    resampling.confidence,
    identities,
  )
  return {'value': float(value), 'low': float(low), 'high': float(high)}

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
  values, resamples = bootstrap.resample(
    [model, baseline, goal], (), resampling
  )
  return _share(values[:, 0], resamples[:, :, 0], identities, resampling)


def recovered(missed, drifted, before, *, resampling=bootstrap.DEFAULT):
  """Share of the misses that a drift cost and that an update took back.

    (misses of the drifted − misses of the updated) / (misses of the drifted −
    misses before)

  Args:
    missed, drifted, before: int [U], captures of each of U users that are
      refused after the update, without it, and before the drift; of as many
      captures each.
    resampling: of the interval, which is over users.

  Returns:
    As `closed`.
  """
  counts = np.stack([missed, drifted, before]).astype(float)
  weights = bootstrap.draw(counts.shape[1], resampling)
  return _share(
    counts.sum(axis=1), counts @ weights.T, counts.shape[1], resampling
  )


def _share(values, resamples, count, resampling):
  """(worst − mine) / (worst − best) of [mine, worst, best] and of resamples."""
  if count < bootstrap.MIN_IDENTITIES:
    return {
      'value': None,
      'reason': f'not measurable with {count} identities',
    }
  mine, worst, best = resamples
  gaps = worst - best
  kept = gaps > 0
  tail = bootstrap.expanded_tail(resampling.confidence, count)
  if values[1] <= values[2] or np.mean(~kept) > tail:
    return {
      'value': None,
      'reason': 'what is to be reached is not surely better',
    }
  value = (values[1] - values[0]) / (values[1] - values[2])
  # A share of no gap has no end. Left out, it would narrow the interval.
  shares = np.where(worst - mine > 0, np.inf, -np.inf)
  np.divide(worst - mine, gaps, out=shares, where=kept)
  low, high = bootstrap.interval(shares, value, resampling.confidence, count)
  if not np.isfinite([low, high]).all():
    return {'value': None, 'reason': 'the gap is too small to divide by'}
  return {'value': float(value), 'low': float(low), 'high': float(high)}

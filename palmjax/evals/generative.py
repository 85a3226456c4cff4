"""Quality, novelty and diversity of generated images: KID in feature space.

Features are embeddings of a frozen palm network, so the kernel distance is
`kid@palm`: never compare it with numbers from Inception features.

  KID = Σ_{i≠j} k(x_i, x_j) / n(n-1) + Σ_{i≠j} k(y_i, y_j) / n(n-1)
        - 2 Σ_{ij} k(x_i, y_j) / n²,     k(x, y) = (xᵀy / d + 1)³

(Bińkowski et al., arXiv:1801.01401), the unbiased squared MMD, averaged over
random subsets; it may be negative. The cubic kernel depends on the scale: of
features of unit norm it sees little (xᵀy / d ≤ 1/d). It wants components of
order 1: unit embeddings times √d, or embeddings as the network makes them where
these have that size. Compare numbers of one network and one scale only.
"""

import chex
import numpy as np

_ROWS = 512  # Rows compared at a time: bounds the memory.


def kid(real, fake, *, subsets=100, subset_size=1000, seed=0) -> dict:
  """Kernel distance (KID) of real and generated features.

  Args:
    real: float [N, d].
    fake: float [M, d].
    subsets: random subsets to average over.
    subset_size: the most features of each set in a subset. A subset never
      holds more than half of the smaller set: with all of it every subset is
      the same and the spread means nothing.
    seed: of the subsets; the same seed gives the same bits.

  Returns:
    {'value', 'std'}: mean over the subsets, standard deviation between them.

  Raises:
    ValueError: fewer than 4 features in a set, or a value is not finite.
  """
  real, fake = _features(real, fake)
  size = min(subset_size, len(real) // 2, len(fake) // 2)
  if size < 2:
    raise ValueError('The kernel distance needs at least 4 features a set.')
  generator = np.random.Generator(np.random.PCG64(seed))
  values = []
  for _ in range(subsets):
    x = real[generator.choice(len(real), size, replace=False)]
    y = fake[generator.choice(len(fake), size, replace=False)]
    values.append(squared_mmd(x, y))
  return {'value': float(np.mean(values)), 'std': float(np.std(values))}


def squared_mmd(x, y) -> float:
  """Unbiased squared MMD of x [n, d] and y [m, d] with the cubic kernel."""
  within = sum(_sum_of_pairs(z) / (len(z) * (len(z) - 1)) for z in (x, y))
  return float(within - 2.0 * _kernel(x, y).mean())


def memorisation(training, held_out, generated) -> dict:
  """Measures memorisation: are generated images copies of training images?

  Compares the distance to the nearest training image of generated images with
  that of real images which the generator has not seen. Take these from the
  training identities: new identities are farther away by themselves.

  Args:
    training: float [N, d], what the generator was trained on.
    held_out: float [H, d], real, not trained on.
    generated: float [M, d].

  Returns:
    'value': ratio of the median distances. About 1: as new as new photos; far
      below 1: copies.
    'copied': share of generated images closer to a training image than 99 % of
      the held-out images are: 0.01 is what new photos would give.
  """
  training, held_out, generated = _features(training, held_out, generated)
  expected = nearest_distances(held_out, training)
  distances = nearest_distances(generated, training)
  expected_median = np.median(expected)
  if expected_median == 0.0:
    raise ValueError('Held-out images repeat training images: split them.')
  return {
    'value': float(np.median(distances) / expected_median),
    'copied': float(np.mean(distances < np.quantile(expected, 0.01))),
  }


def diversity(real, generated) -> dict:
  """Mean distance between two generated images over that of two real ones.

  Args:
    real: float [N, d].
    generated: float [M, d].

  Returns:
    'value': the ratio. 1: as varied as the real set; 0: one image repeated.
    'real', 'generated': the two mean distances.
  """
  real, generated = _features(real, generated)
  means = [_mean_distance(x) for x in (real, generated)]
  if means[0] == 0.0:
    raise ValueError('All real features are equal: check the embedding.')
  return {
    'value': float(means[1] / means[0]),
    'real': float(means[0]),
    'generated': float(means[1]),
  }


def nearest_distances(queries, points):
  """Distance of each query [Q, d] to the nearest of the points [P, d]: [Q]."""
  return np.concatenate(
    [
      _distances(queries[start : start + _ROWS], points).min(axis=1)
      for start in range(0, len(queries), _ROWS)
    ]
  )


def _mean_distance(x):
  if len(x) < 2:
    raise ValueError('Diversity needs at least 2 features a set.')
  total = 0.0
  for start in range(0, len(x), _ROWS):
    distances = _distances(x[start : start + _ROWS], x)
    np.fill_diagonal(distances[:, start:], 0.0)  # Rounding leaves 1e-8 there.
    total += distances.sum()
  return total / (len(x) * (len(x) - 1))


def _distances(x, y):
  squared = (x**2).sum(1)[:, None] + (y**2).sum(1)[None] - 2.0 * (x @ y.T)
  return np.sqrt(np.maximum(squared, 0.0))


def _kernel(x, y):
  return (x @ y.T / x.shape[1] + 1.0) ** 3


def _sum_of_pairs(x):
  kernel = _kernel(x, x)
  return kernel.sum() - np.trace(kernel)


def _features(*sets):
  # float64: the distance is a small difference of sums near 1.
  sets = [np.asarray(features, np.float64) for features in sets]
  chex.assert_rank(sets, 2)
  chex.assert_equal_shape_suffix(sets, 1)
  if any(len(features) == 0 for features in sets):
    raise ValueError('A set of features is empty.')
  if not all(np.isfinite(features).all() for features in sets):
    raise ValueError('Features hold NaN or infinity: check the embedding.')
  return sets

"""Ways to score palms that were tried for the verifier and are not in it.

`launch.verifier` measures them beside the scores that `verify` uses.
"""

import numpy as np

from palmjax.inference import parts

SHRINKAGE = (0.3, 0.9)


def whitened(embeddings, cohort, shrinkage):
  """Embeddings whose directions vary alike in a cohort, unit norm.

  Args:
    embeddings: float [N, D].
    cohort: float [C, D], of the cohort.
    shrinkage: share λ of the identity in the covariance of the cohort,
      (1 − λ) Σ + λ tr(Σ)/D.

  Returns:
    float64 [N, D].
  """
  mean = cohort.mean(axis=0, dtype=np.float64)
  # Σ has the rank of the cohort: outside it, directions keep one scale.
  _, singular, axes = np.linalg.svd(cohort - mean, full_matrices=False)
  variance = singular**2 / len(cohort)
  rest = shrinkage * variance.sum() / cohort.shape[1]
  gain = np.sqrt(rest / ((1 - shrinkage) * variance + rest)) - 1
  found = embeddings - mean
  found = found + ((found @ axes.T) * gain) @ axes
  return found / np.linalg.norm(found, axis=1, keepdims=True)


def with_network(scores, embeddings, gallery):
  """Scores [3, P, G] of the parts, with those of other embeddings."""
  return np.stack([*scores[: len(parts.CODES)], embeddings @ gallery.T])


def s_normed(scores, probes, gallery):
  """Scores in deviations of each palm's scores with a cohort, the mean of both.

  Args:
    scores: float [P, G].
    probes: float [P, C], scores of the probes with the cohort.
    gallery: float [G, C], scores of the gallery with the cohort.

  Returns:
    float [P, G].
  """

  def levels(side):
    return side.mean(axis=1), side.std(axis=1)

  (mean, std), (other_mean, other_std) = levels(probes), levels(gallery)
  one = (scores - mean[:, None]) / std[:, None]
  return (one + (scores - other_mean) / other_std) / 2

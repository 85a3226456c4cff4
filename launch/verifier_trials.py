"""Ways to score palms that were tried for the verifier and are not in it.

`launch.verifier` measures them beside the scores that `verify` uses.
"""

import numpy as np

from palmjax.inference import parts

# Shrinkage of whitenings; 1 is none.
SHRINKAGE = (0.3, 1.0)


def whitened(scores, probes, gallery, means, shrinkage):
  """Scores of the parts with another whitening of embeddings.

  Args:
    scores: float32 [3, P, G] of `parts.compare`.
    probes: float32 [P, D], embeddings.
    gallery: float32 [G, D].
    means: (`parts.Means` of a cohort, its embeddings float32 [C, D]).
    shrinkage: λ of `parts.whitening`.

  Returns:
    float32 [3, P, G].
  """
  means, cohort = means
  means = means._replace(whitening=parts.whitening(cohort, shrinkage))
  network = parts.network_scores(probes, gallery, means)
  return np.stack([*scores[: len(parts.CODES)], network])


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

"""Threshold of a student for a false match rate (FMR), from impostors.

An update makes another embedding space, so a threshold is set anew after each.
Nobody sees the FMR of a device: the threshold is the strict one of
`inference.cohort_thresholds`, at the careful end of what the pairs say.
"""

import numpy as np

from palmjax.evals.recognition import error_rates
from palmjax.inference import cohort_thresholds


def cosine(embeddings, fmr):
  """Cosine that two palms must reach to count as one.

  Args:
    embeddings: float [W, D], unit norm, one of each of W impostors.
    fmr: false match rate, in (0, 1).

  Returns:
    float, at most 1.

  Raises:
    ValueError: too few impostors for the rate.
  """
  embeddings = np.asarray(embeddings, np.float64)
  rows, columns = np.triu_indices(len(embeddings), 1)
  error_rates.require_measurable(fmr, len(rows))
  scores = (embeddings @ embeddings.T)[rows, columns]
  rng = np.random.default_rng(0)
  (least,) = cohort_thresholds.strict(scores, rows, columns, [fmr], rng)
  return min(least, 1.0)

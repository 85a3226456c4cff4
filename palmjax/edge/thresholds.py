"""Threshold of a student for a false match rate (FMR), from impostors.

An update makes another embedding space, so a threshold is set anew after each.
Nobody sees the FMR of a device, so it is to lie below what it is set for:
`inference.cohort_thresholds.upper`. With the threshold that exactly this share
of the pairs passes, strangers passed at up to 3 times the rate.
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
  (least,) = cohort_thresholds.upper(scores, rows, columns, [fmr], rng)
  return min(least, 1.0)

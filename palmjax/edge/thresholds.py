"""Threshold of a student for a false match rate (FMR), from impostors.

An update makes another embedding space, so a threshold is set anew after each.
Nobody sees the FMR of a device, so it is to lie below what it is set for:
`inference.cohort_thresholds.upper`. With the threshold that exactly this share
of the pairs passes, strangers passed at up to 3 times the rate.

A student that learned from users may draw strangers nearer to them than to each
other. So impostors are compared with the references of the users, too, and the
higher of the two thresholds counts. On two development seeds of the recipe
`distill` (100 and 101; 40 strangers, captures without drift, no command repeats
it) the pairs of impostors alone let 0.0017 and 0.0013 of strangers pass for
0.001 after the updates, and both thresholds 0.0013 and 0.0009. Of the FNMR that
drift cost 42 in place of 53 %, and 31 in place of 31 % came back.
"""

import numpy as np

from palmjax.evals.recognition import error_rates
from palmjax.inference import cohort_thresholds


def cosine(impostors, fmr, references=None):
  """Cosine that two palms must reach to count as one.

  Args:
    impostors: float [W, D], unit norm, one embedding of each of W palms.
    fmr: false match rate, in (0, 1).
    references: float [U, D], unit norm, of enrolled users; None or empty: there
      are none. The threshold of few users is extrapolated; it can only raise
      the other one.

  Returns:
    float, at most 1.

  Raises:
    ValueError: too few pairs of impostors for the rate.
  """
  impostors = np.asarray(impostors, np.float64)
  rows, columns = np.triu_indices(len(impostors), 1)
  error_rates.require_measurable(fmr, len(rows))
  rng = np.random.default_rng(0)
  (least,) = cohort_thresholds.upper(
    (impostors @ impostors.T)[rows, columns], rows, columns, [fmr], rng
  )
  if references is not None and len(references):
    scores = impostors @ np.asarray(references, np.float64).T
    rows, _ = np.indices(scores.shape)
    (of_users,) = cohort_thresholds.upper(
      scores.ravel(), rows.ravel(), None, [fmr], rng
    )
    least = max(least, of_users)
  return min(least, 1.0)

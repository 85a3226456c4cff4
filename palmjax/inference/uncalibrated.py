"""Default thresholds for a camera without a cohort.

The two orientation codes are compared with nothing taken off; the network stays
out, for its scores of strangers differ most between cameras. The numbers come
from the real skin on which strangers look most alike of all that was measured:
123 palms of 123 people, cut from photographs of 100 px (DIR: the pictures of
sign 5 of ardamavi/Sign-Language-Digits-Dataset, Apache-2.0).

  python -m release.uncalibrated DIR

Where strangers look less alike the rates stay far below those that are named,
and images of one palm are called different more often than need be.
"""

from palmjax.evals.recognition import error_rates
from palmjax.inference import parts

STANDARD = parts.Standard((0.20170, 0.26220), (0.05219, 0.04893))
THRESHOLDS = ((1e-1, 1.490), (1e-2, 2.796), (1e-3, 4.084), (1e-4, 5.380))
SET_ON = '123 palms of another camera, strict on purpose'


def threshold(fmr):
  """Returns the default threshold for a false match rate.

  Raises:
    ValueError: none was set for this rate; names those that were.
  """
  return error_rates.threshold_for(
    THRESHOLDS, fmr, 'without a cohort of palms there are those'
  )

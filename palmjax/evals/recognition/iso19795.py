"""What ISO/IEC 19795-1 asks a test report to say, as plain values.

Who was tested, which captures failed, and the error rates with what failed
counted in. With FTE the share of people who cannot enrol and FTA the share of
captures of the others that fail,

  GFRR = FTE + (1 - FTE) (FTA + (1 - FTA) FNMR)
  GFAR = (1 - FTE) (1 - FTA) FMR

the error rates of attempts, where FMR and FNMR are those of comparisons.
"""

from collections.abc import Mapping

import numpy as np

from palmjax.evals import bootstrap
from palmjax.evals.recognition import error_rates, verification


def failures(captured, failed, *, resampling=bootstrap.DEFAULT) -> dict:
  """Failure to enrol (FTE) and to acquire (FTA) rates, with intervals.

  Args:
    captured: integer [K], captures of each identity that gave a template.
    failed: integer [K], those that gave none.
    resampling: of the interval.

  Returns:
    'fte': share of the identities without any template.
    'fta': share of the failed captures of the other identities. Each {'value',
    'low', 'high'}.

  Raises:
    ValueError: an identity was never captured, or none has a template.
  """
  captured, failed = np.asarray(captured), np.asarray(failed)
  enrolled = captured > 0
  if not (captured + failed > 0).all():
    raise ValueError('An identity without any capture was not tested.')
  if not enrolled.any():
    raise ValueError('No capture gave a template: check the preprocessing.')
  captures = np.where(enrolled, captured + failed, 0)
  failed = np.where(enrolled, failed, 0)

  def rates(weights):
    """[FTE, FTA] at weights [R, K]: [R, 2]."""
    return np.stack(
      [
        weights @ ~enrolled / len(enrolled),
        weights @ failed / (weights @ captures),
      ],
      axis=1,
    )

  weights = bootstrap.draw(len(enrolled), resampling)
  values = rates(np.ones((1, len(enrolled)), int))[0]
  low, high = bootstrap.bounds(
    rates(weights[weights @ captures > 0]),
    values,
    resampling.confidence,
    num_independent=np.count_nonzero(enrolled),
    best=np.zeros(2),
  )
  return error_rates.metrics(('fte', 'fta'), values, low, high)


def generalised_fnmr(fnmr, *, fte, fta):
  """Generalised false reject rate (GFRR) from FNMR, FTE and FTA."""
  return fte + (1.0 - fte) * (fta + (1.0 - fta) * fnmr)


def generalised_fmr(fmr, *, fte, fta):
  """Generalised false accept rate (GFAR) from FMR, FTE and FTA."""
  return (1.0 - fte) * (1.0 - fta) * fmr


def performance(
  rates: Mapping[str, Mapping],
  points: Mapping[float, error_rates.OperatingPoint | None],
  det,
  *,
  images,
  sessions,
  failed: Mapping[str, Mapping],
) -> dict:
  """The performance section of a report, from what was measured.

  Args:
    rates: of `verification.fnmr_rates` or `binned_rates.rates`.
    points: FMR → operating point, None where the data cannot support it.
    det: (fmr [P], fnmr [P]), from `det_points` of `error_rates` or
      `binned_rates`.
    images: integer [K], images of each identity that were compared.
    sessions: number of them.
    failed: {'fte', 'fta'} of `failures`.

  Returns:
    'crew': name → number: people, images, pairs.
    'failures': `failed`.
    'eer': as in `rates`.
    'rates': a row for each FMR of `points`: {'threshold', 'fnmr', 'gfar',
      'gfrr'}. GFRR takes FTE and FTA as observed, without their intervals.
    'det': {'gfar', 'gfrr'}, lists: DET with the failures counted in.
    All of it is JSON, and rows are what a table of the report wants.
  """
  observed = {name: rate['value'] for name, rate in failed.items()}
  rows = {}
  for fmr, point in points.items():
    fnmr = rates[verification.fnmr_name(fmr)]
    measured = point is not None and fnmr['value'] is not None
    rows[f'FMR {error_rates.short(fmr)}'] = {
      'threshold': point.threshold if measured else None,
      'fnmr': fnmr,
      'gfar': generalised_fmr(fmr, **observed) if measured else None,
      'gfrr': {
        name: generalised_fnmr(rate, **observed) for name, rate in fnmr.items()
      }
      if measured
      else fnmr,
    }
  fmr, fnmr = det
  return {
    'crew': _crew(np.asarray(images), sessions),
    'failures': failed,
    'eer': rates['eer'],
    'rates': rows,
    'det': {
      'gfar': generalised_fmr(fmr, **observed).tolist(),
      'gfrr': generalised_fnmr(fnmr, **observed).tolist(),
    },
  }


def _crew(images, sessions):
  total = int(images.sum())
  genuine = int((images * (images - 1) // 2).sum())
  return {
    'identities': len(images),
    'images': total,
    'fewest images of an identity': int(images.min()),
    'most images of an identity': int(images.max()),
    'sessions': sessions,
    'genuine pairs': genuine,
    'impostor pairs': total * (total - 1) // 2 - genuine,
  }

"""Can templates of one palm under two keys be linked? (ISO/IEC 30136)

  D(s)  = 2 LR / (1 + LR) − 1 where LR(s) > 1, else 0,   LR = p(s|m) / p(s|nm)
  D_sys = ∫ D(s) p(s|m) ds

with s the score of two templates of different keys, m mated (one palm) and nm
not mated. 0: nobody can tell; 1: everybody can. Gomez-Barrero et al. 2018,
doi:10.1109/TIFS.2017.2788000, with equal prior probabilities.
"""

import numpy as np


def d_sys(mated, others, *, bins=50):
  """D_sys of two sets of scores.

  Densities are histograms, so finite samples of one distribution give a value
  above 0: about sqrt(bins / (π N)) for N mated scores.

  Args:
    mated: float [N], scores of one palm under two keys.
    others: float [M], scores of two palms under two keys.
    bins: of the histograms.

  Returns:
    float in [0, 1].

  Raises:
    ValueError: a set is empty, or a score is not finite.
  """
  mated, others = (np.asarray(x, np.float64) for x in (mated, others))
  if not len(mated) or not len(others):
    raise ValueError('both kinds of scores are needed')
  both = np.concatenate([mated, others])
  if not np.isfinite(both).all():
    raise ValueError('a score is not finite')
  edges = np.linspace(both.min(), both.max() + 1e-9, bins + 1)
  p, q = (np.histogram(x, edges)[0] / len(x) for x in (mated, others))
  # 2 LR / (1 + LR) − 1 = (p − q) / (p + q).
  linked = p > q
  return float(np.sum(p[linked] * ((p - q) / (p + q + (p + q == 0)))[linked]))

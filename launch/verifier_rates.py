"""What share of strangers passes thresholds, for `launch.verifier`."""

import numpy as np

from palmjax.inference import cohort, parts, uncalibrated

FMRS = (1e-2, 1e-3)
_COHORTS = 20
_STRANGERS = 400  # Palms at most that a cohort is tested on.


def rates(name, all_palms, sizes, before):
  """FMR found at thresholds for a rate.

  Args:
    name: of the palms.
    all_palms: `parts.Templates`, each palm once.
    sizes: of cohorts.
    before: `verifier.Verifier` of the network alone.

  Returns:
    {row: {column: {'mean', …}}}, rows `NAME; HOW`.
  """
  rng = np.random.default_rng(0)
  count = len(all_palms.network)
  apart = ~np.eye(count, dtype=bool)
  raw = parts.compare(
    all_palms, all_palms, parts.no_means(all_palms.network.shape[1])
  )
  rows = {
    f'{name}; network alone': {
      f'FMR for {fmr:g}': {
        'mean': float(np.mean(raw[2][apart] >= before.threshold(fmr)))
      }
      for fmr in FMRS
    },
    f'{name}; no cohort': {
      f'FMR for {fmr:g}': {
        'mean': float(
          np.mean(
            parts.fuse(raw[:2], uncalibrated.STANDARD)[apart]
            >= uncalibrated.threshold(fmr)
          )
        )
      }
      for fmr in FMRS
    },
  }
  for size in sizes:
    each = {fmr: [] for fmr in FMRS}
    for seed in range(_COHORTS):
      order = rng.permutation(count)
      camera = cohort.fit(all_palms.take(order[:size]), dataset='', seed=seed)
      rest = all_palms.take(order[size : size + _STRANGERS])
      scores = parts.fuse(
        parts.compare(rest, rest, camera.means), camera.standard
      )[~np.eye(len(rest.network), dtype=bool)]
      for fmr in FMRS:
        each[fmr].append(float(np.mean(scores >= camera.threshold(fmr))))
    row = rows[f'{name}; {_COHORTS} cohorts of {size}'] = {}
    for fmr, values in each.items():
      row[f'FMR for {fmr:g}'] = {
        'mean': float(np.mean(values)),
        'std': float(np.std(values)),
      }
      row[f'least for {fmr:g}'] = {'mean': min(values)}
      row[f'most for {fmr:g}'] = {'mean': max(values)}
  return rows

"""Cohorts as files: cohort.npz (`inference.bound_file`).

templates   codes and embeddings of the palms: biometric data, but no images
means, standard, thresholds
about       format, a note on what the file holds, what the palms are, the
            digests of the network, and one of the content; where it is known,
            whether the palms were cut out of photos
"""

import os

import numpy as np

from palmjax import file_names
from palmjax.inference import bound_file, parts
from palmjax.inference import cohort as cohorts

# 2 has the whitening of embeddings; files of format 1 are read.
FORMAT = 2
_READ = (1, FORMAT)
NAME = 'cohort.npz'

# Of the cohort of a run, whose export is passed on.
_BARE = (
  'What palms have in common, made by palmjax. It holds no template of a palm.'
)
_GROUPS = {
  'templates': parts.Templates,
  'means': parts.Means,
  'standard': parts.Standard,
}


def save(path, cohort, *, of):
  """Writes a cohort.

  Args:
    path: file.
    cohort: `cohorts.Cohort`.
    of: plain values that tell the scores, from `Verifier.identity`.

  Raises:
    OSError: it cannot be written.
  """
  arrays = {
    group: {
      name: np.asarray(part)
      for name, part in getattr(cohort, group)._asdict().items()
      if part is not None
    }
    for group in _GROUPS
  }
  arrays['thresholds'] = np.asarray(cohort.thresholds, np.float64)
  about = {
    'format': FORMAT,
    'note': bound_file.NOTE if len(cohort.templates.network) else _BARE,
    'palms': cohort.palms,
    'measured': cohort.measured,
    'set': cohort.dataset,
    'of': of,
  }
  if cohort.photos is not None:
    about['photos'] = cohort.photos
  bound_file.save(path, arrays, about)


def load(path, *, of):
  """Reads a cohort.

  Args:
    path: file, or a folder with cohort.npz in it.
    of: as for `save`; of the verifier that will use it.

  Returns:
    `cohorts.Cohort`.

  Raises:
    ValueError, OSError: there is no such file, or it is damaged, edited, of
      another format, or of another network; one line.
  """
  path = os.path.join(path, NAME) if os.path.isdir(path) else path
  out = file_names.printable(bound_file.place(path, NAME))
  again = f'make it again by python -m palmjax.calibrate DIR --out={out}'
  arrays, about = bound_file.load(
    path, of=of, kind='cohort', versions=_READ, again=again
  )
  return cohorts.Cohort(
    **{group: cls(**arrays[group]) for group, cls in _GROUPS.items()},
    thresholds=tuple(map(tuple, arrays['thresholds'].tolist())),
    measured=about['measured'],
    palms=about['palms'],
    dataset=about['set'],
    photos=about.get('photos'),
  )

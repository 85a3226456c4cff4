"""Arrays by keys of several parts, kept in one file: 'PART/PART/…'."""

import numpy as np


def write(path, arrays):
  """Writes arrays to an npz file.

  Args:
    path: of the file.
    arrays: {(part, …): array}; parts are text without '/', or numbers.
  """
  np.savez(path, **{_name(key): array for key, array in arrays.items()})


def read(path):
  """Reads what `write` wrote; yields ((part, …), array), parts as text."""
  with np.load(path) as stored:
    for name in stored.files:
      yield tuple(name.split('/')), stored[name]


def _name(key):
  return '/'.join(
    part if isinstance(part, str) else f'{part:g}' for part in key
  )

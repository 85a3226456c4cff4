"""Drawn palms that thresholds are set on where the user gives none."""

import os

import numpy as np

from palmjax import files
from palmjax.data.palms import as_read
from palmjax.networks import weights_file

SIZE = 64
_NAME = 'impostors.npz'
# 32,640 pairs measure an FMR of 1e-3. The seed is of no training.
_PALMS, _SEED, _DIFFICULTY = 256, 2011, 0.6


def palms(folder):
  """Palms uint8 [256, 64, 64, 3], drawn once and kept in a folder."""
  path = os.path.join(folder, _NAME)
  if os.path.exists(path):
    with open(path, 'rb') as file:
      return weights_file.unpack(file.read(), path)['images']
  images, _, _ = as_read.draw(
    _SEED,
    identities=_PALMS,
    samples=1,
    size=2 * SIZE,
    square=SIZE,
    difficulty=_DIFFICULTY,
  )
  files.write_file(path, weights_file.pack({'images': np.asarray(images)}))
  return images

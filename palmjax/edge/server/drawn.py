"""Drawn palms of a package: impostors, and palms that updates rehearse."""

import os

import numpy as np

from palmjax import files
from palmjax.data.palms import as_read
from palmjax.networks import weights_file

SIZE = 64
_NAME = 'drawn_palms.npz'
# 32,640 pairs of impostors measure an FMR of 1e-3. The seed is of no training.
_IMPOSTORS, _REHEARSED, _SEED, _DIFFICULTY = 256, 150, 2011, 0.6


def are_kept(folder):
  """Whether `palms` finds its palms in a folder and draws none."""
  return os.path.exists(os.path.join(folder, _NAME))


def palms(folder):
  """Palms drawn once and kept in a folder.

  Args:
    folder: that they are kept in.

  Returns:
    (impostors uint8 [256, 64, 64, 3], rehearsed uint8 [150, 64, 64, 3]).
  """
  path = os.path.join(folder, _NAME)
  if are_kept(folder):
    with open(path, 'rb') as file:
      images = weights_file.unpack(file.read(), path)['images']
    return images[:_IMPOSTORS], images[_IMPOSTORS:]
  images, _, _ = as_read.draw(
    _SEED,
    identities=_IMPOSTORS + _REHEARSED,
    samples=1,
    size=2 * SIZE,
    square=SIZE,
    difficulty=_DIFFICULTY,
  )
  files.write_file(path, weights_file.pack({'images': np.asarray(images)}))
  return images[:_IMPOSTORS], images[_IMPOSTORS:]

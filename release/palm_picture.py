"""Makes the README's picture: photographs, drawn palms, palms of the GAN.

python -m release.palm_picture --photos=DIR --run=runs/ssl --out=docs/palms.png

DIR is an image folder, RUN a finished run of configs/ssl.py.
"""

import pathlib

import jax
import numpy as np
from absl import app, flags
from PIL import Image

from palmjax.data.palms import palms
from palmjax.data.sets import folder
from palmjax.recipes.ssl import labels as ssl_labels

_PHOTOS = flags.DEFINE_string('photos', None, 'Image folder.', required=True)
_RUN = flags.DEFINE_string('run', None, 'Workdir of a run.', required=True)
_OUT = flags.DEFINE_string('out', 'docs/palms.png', 'Picture to write.')
_COLUMNS = flags.DEFINE_integer('columns', 10, 'Pictures in a row.')
_NTH = flags.DEFINE_integer('nth', 5, 'Which photograph of each identity.')
_SIZE = 96


def strip(images, columns):
  """uint8 [N, h, h, 3] → one row [_SIZE, columns · _SIZE, 3] of the first."""
  tiles = [
    np.asarray(Image.fromarray(image).resize((_SIZE, _SIZE), Image.LANCZOS))
    for image in images[:columns]
  ]
  return np.concatenate(tiles, axis=1)


def nth_of_each(labels, nth):
  """Index of the nth image, or the last, of each identity: int [K]."""
  _, first, counts = np.unique(labels, return_index=True, return_counts=True)
  return first + np.minimum(nth, counts - 1)


def main(_):
  columns = _COLUMNS.value
  photos = folder.read(_PHOTOS.value, size=_SIZE)
  photographs = photos.images[nth_of_each(photos.labels, _NTH.value)]
  numbers = np.arange(columns)
  drawn = palms.draw_batch(
    jax.random.key(0), numbers, np.zeros_like(numbers), size=_SIZE
  )
  generated, _ = ssl_labels.read_soft_labels(
    pathlib.Path(_RUN.value) / 'soft_labels' / 'export'
  )
  rows = [
    strip(images, columns)
    for images in (photographs, np.asarray(drawn), generated)
  ]
  width = min(row.shape[1] for row in rows)
  gap = np.full((6, width, 3), 255, np.uint8)
  first, *rest = [row[:, :width] for row in rows]
  picture = np.concatenate([first, *(x for row in rest for x in (gap, row))])
  pathlib.Path(_OUT.value).parent.mkdir(parents=True, exist_ok=True)
  Image.fromarray(picture).save(_OUT.value, optimize=True)


if __name__ == '__main__':
  app.run(main)

"""Makes the README's picture: photographs, drawn palms, palms of the GAN.

python -m launch.picture --photos=DIR --run=runs/ssl --out=docs/palms.png

DIR is an image folder, RUN a finished run of configs/ssl.py.
"""

import pathlib

import jax
import numpy as np
from absl import app, flags
from PIL import Image

from palmjax.data import folder, palms
from palmjax.recipes import ssl_labels

_PHOTOS = flags.DEFINE_string('photos', None, 'Image folder.', required=True)
_RUN = flags.DEFINE_string('run', None, 'Workdir of a run.', required=True)
_OUT = flags.DEFINE_string('out', 'docs/palms.png', 'Picture to write.')
_COLUMNS = flags.DEFINE_integer('columns', 10, 'Pictures in a row.')
_SIZE = 96


def strip(images, columns):
  """uint8 [N, h, h, 3] → one row [_SIZE, columns · _SIZE, 3] of the first."""
  tiles = [
    np.asarray(Image.fromarray(image).resize((_SIZE, _SIZE), Image.LANCZOS))
    for image in images[:columns]
  ]
  return np.concatenate(tiles, axis=1)


def main(_):
  columns = _COLUMNS.value
  photos = folder.read(_PHOTOS.value, size=_SIZE)
  _, first = np.unique(photos.labels, return_index=True)
  # Open hands: the sixth picture of each identity shows the sign for five.
  photographs = photos.images[first + np.minimum(5, len(first) - 1)]
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
  gap = np.full((6, columns * _SIZE, 3), 255, np.uint8)
  picture = np.concatenate([rows[0], gap, rows[1], gap, rows[2]])
  Image.fromarray(picture).save(_OUT.value, optimize=True)


if __name__ == '__main__':
  app.run(main)

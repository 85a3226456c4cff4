"""Makes the README's picture of hands: what the shipped detector finds.

python -m release.hand_picture --boxes=DIR --out=docs/hands.jpg

First photographs of the validation part of DIR, evenly spaced, then drawn
hands of a seed that no training had; none chosen.
"""

import argparse
import pathlib
import sys

import jax
import numpy as np
from PIL import Image

from palmjax import detect
from palmjax.data.boxes import boxes
from palmjax.images import photo
from palmjax.inference import finder
from palmjax.recipes.shared import hand_images

_TILE = 200
_SEED = 1_000


def evenly(items, count):
  """`count` of the items, at equal distances from the first on."""
  items = list(items)
  return [items[i * len(items) // count] for i in range(count)]


def grid(images, columns):
  """Whole rows of pictures fitted into squares: uint8 [h, w, 3]."""
  tiles = []
  for image in images:
    scale = _TILE / max(image.shape)
    height, width = (round(scale * side) for side in image.shape[:2])
    small = Image.fromarray(image).resize((width, height), Image.LANCZOS)
    tile = Image.new('RGB', (_TILE, _TILE), 'white')
    tile.paste(small, ((_TILE - width) // 2, (_TILE - height) // 2))
    tiles.append(np.asarray(tile))
  rows = [
    np.concatenate(tiles[start : start + columns], axis=1)
    for start in range(0, len(tiles) - columns + 1, columns)
  ]
  return np.concatenate(rows)


def main(argv=None):
  """The command line."""
  parser = argparse.ArgumentParser(
    prog='python -m release.hand_picture', description=__doc__.split('\n')[0]
  )
  parser.add_argument('--boxes', required=True, metavar='DIR', help='YOLO set')
  parser.add_argument('--out', required=True, metavar='FILE')
  parser.add_argument('--export', metavar='DIR', help='another detector')
  parser.add_argument('--columns', type=int, default=6)
  args = parser.parse_args(argv)
  find, columns = finder.load(args.export), args.columns
  annotations = boxes.read(args.boxes, form='yolo', split='valid')
  photographs = [
    photo.read(one.path) for one in evenly(annotations.images, 2 * columns)
  ]
  drawn = hand_images.draw(
    jax.random.key(_SEED), columns, size=320, difficulty=0.5
  )
  pictures = [
    detect.picture(image, find(image), side=_TILE)
    for image in (*photographs, *drawn['image'])
  ]
  out = pathlib.Path(args.out)
  out.parent.mkdir(parents=True, exist_ok=True)
  Image.fromarray(grid(pictures, columns)).save(out, quality=88)


if __name__ == '__main__':
  sys.exit(main(sys.argv[1:]))

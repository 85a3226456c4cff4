"""Counts what `cohort_screen.screen` names of images that show no palm.

python -m launch.nonpalms --photos=DIR --boxes=DIR [--out=docs/results]

One image stands among 40 drawn palms, or among 40 palms of real skin, which are
dealt anew for each image. Counted is how often the screen calls the image odd.
In the first row the image is one more palm of the same kind.

--photos   <identity>/<sign>_<name>.jpg; sign 5 is an open hand
--boxes    */images/<name>.jpg; docs/results/backs.json lists those of backs

Rows "cut by detect" leave out what the detector finds no palm in. The network
takes no part: the screen finds odd images by their codes.
"""

import argparse
import json
import pathlib
import sys

import jax
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from launch import verifier
from palmjax import compile_cache, files
from palmjax.data.hands import hands
from palmjax.images import image_file
from palmjax.inference import cohort_screen, finder, palm_files, parts
from release import photographed_palms

_SEED, _DIFFICULTY = 110, 0.6  # Of drawn palms and hands.
_PALMS, _POOL, _COUNT = 40, 64, 20  # Of a cohort, to deal from; of a kind.
_SIZE = 64
_BACKS = pathlib.Path(__file__).parents[1] / 'docs/results/backs.json'
_OTHER_SIGNS = '*/[0-46-9]_*.jpg'


def main(argv=None):
  """The command line."""
  parser = argparse.ArgumentParser(
    prog='python -m launch.nonpalms', description=__doc__.split('\n')[0]
  )
  parser.add_argument('--photos', required=True, metavar='DIR')
  parser.add_argument('--boxes', required=True, metavar='DIR')
  parser.add_argument('--out', default='docs/results', metavar='DIR')
  parser.add_argument('--commit', default='', help='to name in the file')
  args = parser.parse_args(argv)
  compile_cache.start()
  photos, find = pathlib.Path(args.photos), finder.load()
  open_hands = sorted(photos.glob(photographed_palms.SIGN_5))
  pools = {
    'drawn': templates(verifier.draw(_SEED, _DIFFICULTY, _POOL, 1)),
    'real': templates(cut(find, open_hands, _POOL)),
  }
  rng = np.random.default_rng(0)
  kinds = _kinds(rng, find, photos, pathlib.Path(args.boxes))
  counts = {
    'one more palm': [_COUNT, *(controls(rng, x) for x in pools.values())]
  }
  for kind, images in kinds.items():
    odd = templates(images)
    named_of_each = [named(rng, odd, pool) for pool in pools.values()]
    counts[kind] = [len(images), *named_of_each]
  columns = [
    'images',
    *(f'named among {_PALMS} {name} palms' for name in pools),
  ]
  content = {
    'command': 'python -m launch.nonpalms --photos=DIR --boxes=DIR',
    'measured_at': args.commit,
    'runs': f'one run; one image at a time among {_PALMS} palms',
    'table': {
      kind: {
        column: {'mean': value}
        for column, value in zip(columns, row, strict=True)
      }
      for kind, row in counts.items()
    },
  }
  files.write_json(pathlib.Path(args.out) / 'nonpalms.json', content)
  print(files.to_json(content))


def _kinds(rng, find, photos, boxes):
  """{what they are: uint8 images [N, S, S, 3]}."""
  others = rng.permutation(sorted(photos.glob(_OTHER_SIGNS)))
  pages = text(rng)
  open_hands = sorted(photos.glob(photographed_palms.SIGN_5))[:_COUNT]
  opened = (np.asarray(Image.open(path).convert('RGB')) for path in open_hands)
  names = rng.permutation(json.loads(_BACKS.read_text())['shown']['back'])
  backs = (path for x in names for path in sorted(boxes.glob(f'*/images/{x}*')))
  drawn = hands.draw_batch(
    *(jax.random.key(_SEED), np.arange(_COUNT)),
    **{'size': 2 * _SIZE, 'difficulty': _DIFFICULTY, 'count': 1},
  )
  return {
    'rendered text': pages,
    'whole hands, photographs': np.stack(
      [image_file.square(image, size=_SIZE) for image in opened]
    ),
    'other signs, cut by detect': cut(find, others, _COUNT),
    'backs of hands, cut by detect': cut(find, backs, _COUNT),
    'whole hands, drawn': np.asarray(drawn['image']),
  }


def templates(images):
  """`parts.Templates` of images uint8 [N, S, S, 3], without the network."""
  return parts.templates(parts.no_network, np.ascontiguousarray(images))


def named(rng, odd, pool):
  """How many images `odd` are named, each among palms of `pool`."""
  count = 0
  for i in range(len(odd.network)):
    chosen = rng.permutation(len(pool.network))[:_PALMS]
    among = pool.take(chosen), odd.take([i])
    joined = parts.Templates(*map(np.concatenate, zip(*among, strict=True)))
    count += _PALMS in cohort_screen.screen(joined).odd
  return count


def controls(rng, pool):
  """How many of `_COUNT` palms are named, each among others of its pool."""
  wrong = 0
  for _ in range(_COUNT):
    last, *rest = rng.permutation(len(pool.network))[: _PALMS + 1]
    wrong += named(rng, pool.take([last]), pool.take(rest))
  return wrong


def cut(find, paths, count):
  """The first `count` palms that `detect` cuts out of photographs, uint8."""
  images = []
  for path in paths:
    try:
      images.append(palm_files.read_photo(find, path, size=_SIZE).image)
    except ValueError:  # It shows no palm.
      continue
    if len(images) == count:
      break
  return np.stack(images)


def text(rng):
  """Pages of random letters, black on white: uint8 [_COUNT, 64, 64, 3]."""
  pages = []
  for size in rng.integers(7, 20, _COUNT):
    page = Image.new('RGB', (_SIZE, _SIZE), 'white')
    lines = [''.join(map(chr, row)) for row in rng.integers(97, 123, (9, 16))]
    font = ImageFont.load_default(float(size))
    ImageDraw.Draw(page).multiline_text((2, 1), '\n'.join(lines), 'black', font)
    pages.append(np.asarray(page))
  return np.stack(pages)


if __name__ == '__main__':
  sys.exit(main())

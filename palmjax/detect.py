"""Finds hands in photos and cuts out their palms.

python -m palmjax.detect IMAGE… --out DIR

IMAGE is a file, a folder or a pattern in quotes; folders are searched to the
bottom. Of each photo A.jpg DIR gets

  A.json       size of the photo; of each hand its box, gesture and score, which
               hand it is, how probably its palm faces the camera, palm frame
  A_boxes.jpg  the photo, no larger than 1600 pixels, with all that drawn in it:
               palms in blue, other hands in orange
  A_roi0.png   the palm of hand 0 where it faces the camera, fingers up

Folders below a given folder are kept: of IN/anna/A.jpg the palm becomes
DIR/anna/A_roi0.png. Of photos whose names are equal the later ones get a
number.

A line for each photo tells of each hand the gesture, the score from 0 to 1,
whether it is the right or the left hand, and which side faces the camera. The
bracket is missing where no palm frame was read. The line also tells of palms
that are less than 64 pixels wide. The back of a hand can pass as a palm: look
at the pictures.

Places are (x, y) in pixels of the photo as it is looked at, turned upright by
its EXIF tag.

Exit codes: 0 all photos were read, whatever they show; 1 photos or folders were
not (a line each says why, the others are done); 2 the command line is wrong.
"""

import io
import sys
import warnings

import jax
import numpy as np
from PIL import Image

from palmjax import compile_cache, file_names, files, terminal
from palmjax.images import photo, photo_paths, roi
from palmjax.inference import finder, words
from palmjax.networks import shipped
from palmjax.report import drawn_boxes

_PALM = (120, 200, 255)
_OTHER = (255, 160, 90)
_LARGEST = 1600  # Longest side of a picture with boxes, in pixels.
_SMALLEST = 640  # Enlarged to it.
_LEAST = 64  # Pixels of a palm: of fewer `palmjax.verify` warns, too.

_corners = jax.jit(roi.corners)


@terminal.command
def main(argv=None):
  """The command line; returns the exit code."""
  args = _parse(argv)
  terminal.start(cache=not args.no_cache)
  # Too large ones are refused in our own words; damaged tags are none.
  warnings.simplefilter('ignore', Image.DecompressionBombWarning)
  warnings.filterwarnings('ignore', module=r'PIL\.')
  find = finder.load(
    args.export, palm_frame=args.palm_frame, looks=args.looks, score=args.score
  )
  out = files.make_folder(args.out)
  paths, complaints = photo_paths.collect(args.images, out)
  for complaint in complaints:
    terminal.complain(complaint)
  failed, counts, palms = len(complaints), [], 0
  names = photo_paths.result_names(paths, out, args.images)
  for path, name in zip(paths, names, strict=True):
    try:
      hands, cut = _detect(find, path, out / name, size=args.size)
    except MemoryError:
      raise
    except Exception as error:  # Of one photo: the others are looked at.
      terminal.complain(_reason(path, error))
      failed += 1
      continue
    counts.append(len(hands))
    palms += cut
    print(
      f'{file_names.printable(path)}: {_words(hands, args.size)}', flush=True
    )
  print(_summary(counts, palms, failed, out))
  return 1 if failed else 0


def _reason(path, error):
  """The text of an error, with the photo's name and the type if it is odd."""
  path, text = file_names.printable(path), str(error)
  if not isinstance(error, (ValueError, OSError)):
    text = f'{type(error).__name__}: {text}'
  return text if path in text else f'{path}: {text}'


def _parse(argv):
  summary, _, text = __doc__.partition('\n')
  parser = terminal.Parser('detect', description=summary, epilog=text)
  parser.add_argument('images', nargs='+', metavar='IMAGE', type=terminal.path)
  parser.add_argument(
    '--out',
    required=True,
    metavar='DIR',
    type=terminal.path,
    help='folder of the results',
  )
  for name, default, text in (
    ('export', shipped.HAND, 'another trained detector'),
    ('palm-frame', shipped.PALM_FRAME, 'another trained reader of palm frames'),
  ):
    parser.add_argument(
      f'--{name}', metavar='DIR', type=terminal.path, default=default, help=text
    )
  parser.add_argument(
    '--score',
    type=float,
    default=finder.SCORE,
    help='a detection with less is no hand',
  )
  parser.add_argument(
    '--looks',
    type=int,
    choices=(1, 2, 3),
    default=finder.LOOKS,
    help='at the photo, at each hand, at each palm frame',
  )
  parser.add_argument(
    '--size', type=int, default=224, help='side of the palms in pixels'
  )
  compile_cache.add_argument(parser)
  args = parser.parse_args(argv)
  if not 0.0 < args.score <= 1.0:
    parser.error(f'--score={args.score}: give a number from 0 to 1')
  if not 8 <= args.size <= 2048:
    parser.error(f'--size={args.size}: give 8 to 2048')
  return args


def _detect(find, path, out, *, size):
  """Writes the results of one photo.

  Args:
    find: of `finder.load`.
    path: of the photo.
    out: path of the results, to which endings are added.
    size: side of the palms in pixels.

  Returns:
    (hands that were found, number of palms that were cut out).
  """
  image = photo.read(path)
  hands = find(image)
  files.make_folder(out.parent)
  rows = []
  for k, hand in enumerate(hands):
    row = {
      'box': [round(float(end), 2) for end in hand.box],
      'gesture': hand.gesture,
      'score': round(hand.score, 4),
      'hand': hand.side,
      'facing': round(hand.facing, 4) if hand.framed else None,
      'palm': _palm(hand) if hand.framed else None,
      'roi': None,
    }
    if hand.shows_palm:
      row |= _cut(image, hand, _ending(out, f'_roi{k}.png'), size)
    rows.append(row)
  _write_image(
    _ending(out, photo_paths.PICTURE), picture(image, hands), quality=92
  )
  height, width, _ = image.shape
  files.write_json(
    _ending(out, '.json'),
    {
      'image': file_names.printable(path),
      'width': width,
      'height': height,
      'hands': rows,
    },
  )
  return hands, sum(row['roi'] is not None for row in rows)


def _ending(path, ending):
  """`path` with an ending; its name may hold a dot."""
  return path.with_name(path.name + ending)


def _palm(hand):
  names = ('index_middle', 'ring_little', 'wrist')
  return {
    name: [round(float(value), 2) for value in point]
    for name, point in zip(names, hand.points, strict=True)
  }


def _cut(image, hand, path, size):
  """Writes the palm; returns what is to be told of it."""
  try:
    palm = roi.cut_photo(image, hand.points, size=size)
  except ValueError as error:
    return {'roi_missing': str(error)}
  _write_image(path, palm)
  return {'roi': path.name}


def picture(image, hands, *, side=_SMALLEST):
  """Draws hands into a copy of their photo, the best one on top.

  Args:
    image: uint8 [H, W, 3].
    hands: of `finder.find`.
    side: smaller photos are enlarged, by a whole factor.

  Returns:
    uint8 [h, w, 3], at most 1600 pixels along the longer side.
  """
  factor = -(-max(image.shape) // _LARGEST)
  small = np.asarray(Image.fromarray(image).reduce(factor))
  shapes = []
  for hand in reversed(hands):
    label = ' '.join(
      [hand.gesture, f'{hand.score:.2f}', *([hand.side] if hand.side else [])]
    )
    color = _PALM if hand.shows_palm else _OTHER
    shape = drawn_boxes.Shape(hand.box / factor, label, color=color)
    if hand.framed:
      shape = shape._replace(points=hand.points / factor)
    if hand.shows_palm:
      shape = shape._replace(outline=np.asarray(_corners(hand.points)) / factor)
    shapes.append(shape)
  return drawn_boxes.draw(small, shapes, color=_PALM, side=side)


def _write_image(path, image, **options):
  buffer = io.BytesIO()
  form = 'JPEG' if path.suffix == '.jpg' else 'PNG'
  Image.fromarray(image).save(buffer, form, **options)
  files.write_file(path, buffer.getvalue())


def _words(hands, size):
  if not hands:
    return 'no hand'
  return ', '.join(
    f'{hand.gesture} {hand.score:.2f}'
    + (f' ({hand.side}, {_faces(hand, size)})' if hand.framed else '')
    for hand in hands
  )


def _faces(hand, size):
  if not hand.shows_palm:
    return 'back'
  width = int(roi.side_in_image(hand.points))
  small = f' of {width} px, enlarged' if width < min(size, _LEAST) else ''
  return f'palm{small}'


def _summary(counts, palms, failed, out):
  # No rate of failures: nobody says here which photos show a palm.
  of = f'{len(counts) - counts.count(0)} of ' if len(counts) != 1 else ''
  text = (
    f'{words.count(sum(counts), "hand")} in {of}'
    f'{words.count(len(counts), "image")}, {words.count(palms, "palm")} cut out'
  )
  if failed:
    text += f', {failed} not read'
  return text + (f'; results in {file_names.printable(out)}' if counts else '')


if __name__ == '__main__':
  sys.exit(main())

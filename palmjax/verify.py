"""Are two images of one palm?

python -m palmjax.verify A.jpg B.jpg
python -m palmjax.verify A.jpg --gallery=DIR --save-gallery=gallery.npz
python -m palmjax.verify A.jpg --gallery=gallery.npz
python -m palmjax.verify A.jpg B.jpg --photos
python -m palmjax.verify A.jpg B.jpg --cohort=cohort.npz

An image shows one palm and nothing else. The fingers point up. In a left palm
the thumb side is on the left. With --photos an image is a photo of a whole
hand, and the palm in the photo is found first. The answer is `same` or
`different`, with the score, the threshold, and the false match rate that the
threshold was set for. For networks trained with Euclidean distances the output
is a distance: smaller is more alike.

A gallery is a folder, or the templates of its palms in a file. The file takes
the time of one comparison to search; a folder is read and coded each time. The
palm is the first one of the gallery whose score reaches the threshold, or
nobody. From Python:

  v = palmjax.inference.verifier.load()
  v.compare(image, another).decision
  gallery = v.enrol(images)
  v.scores(probes, gallery)

and of photos of whole hands:

  find = palmjax.inference.finder.load()
  palm = palmjax.inference.palm_files.find_palm(find, photo, size=v.image_size)
  v.compare(palm, another)

Exit codes: 0 answered, same or different; 1 there is no answer (the last line
says why and what to do); 2 the command line is wrong; 3 answered, but palms of
the gallery could not be read, so that nobody can be found to be one of them.
"""

import argparse
import json
import os
import sys
import warnings
from typing import NamedTuple

from PIL import Image

from palmjax import compile_cache, file_names, files, terminal
from palmjax.inference import (
  decision,
  gallery,
  palm_files,
  palm_warnings,
  verifier,
  words,
)
from palmjax.networks import shipped

_DIGITS = 4  # Of a score that are shown, and that ranks go by.
_EXAMPLES = """examples:
  palmjax-verify A.jpg B.jpg
  palmjax-verify A.jpg --gallery=DIR --top=3
  palmjax-verify A.jpg --gallery=DIR --save-gallery=gallery.npz
  palmjax-verify A.jpg B.jpg --photos --fmr=1e-4
  palmjax-verify A.jpg B.jpg --export=runs/metric/network/export
"""


@terminal.command
def main(argv=None):
  """The command line; returns the exit code."""
  args = _parse(argv)
  terminal.start(cache=not args.no_cache)
  # Too large ones are refused by us; damaged tags are none.
  warnings.simplefilter('ignore', Image.DecompressionBombWarning)
  warnings.filterwarnings('ignore', module=r'PIL\.')
  answer = _verify(args) if args.gallery is None else _rank(args)
  for line in answer['warnings']:
    terminal.complain(f'warning: {line}')
  if args.json:
    print(json.dumps(answer, ensure_ascii=False))
  else:
    text = words.pair if args.gallery is None else words.ranks
    print(terminal.as_called(text(answer)))
  return 3 if answer.get('missing') else 0


def _parse(argv):
  summary, _, text = __doc__.partition('\n')
  text = f'{text}\n{_EXAMPLES}'
  parser = terminal.Parser('verify', description=summary, epilog=text)
  parser.add_argument('images', nargs='+', metavar='IMAGE', type=terminal.path)
  parser.add_argument(
    '--gallery',
    metavar='DIR|FILE',
    type=terminal.path,
    help='rank <identity>/<image> or <image> in a folder, or the palms of '
    '--save-gallery',
  )
  parser.add_argument(
    '--save-gallery',
    metavar='FILE',
    type=terminal.path,
    help='write templates of --gallery=DIR, for --gallery=FILE',
  )
  parser.add_argument('--top', type=int, default=5, help='ranks to show')
  terminal.add_networks(parser)
  parser.add_argument(
    '--fmr', type=float, default=1e-3, help='false match rate to allow'
  )
  parser.add_argument(
    '--turns',
    action=argparse.BooleanOptionalAction,
    help='the score is the mean over 8 turns: 4 rotations of the image and of '
    'its mirror image. Takes 8 × the time. Default for the shipped network',
  )
  parser.add_argument(
    '--score',
    choices=verifier.SCORES,
    default='fused',
    help='fused: codes and network, by palms of the camera in use; network: '
    'that alone, by calibration.json; correlation: network and correlation',
  )
  parser.add_argument(
    '--cohort',
    metavar='FILE|DIR',
    type=terminal.path,
    help='palms of the camera in use, made by python -m palmjax.calibrate; of '
    'a folder its cohort.npz',
  )
  parser.add_argument('--json', action='store_true', help='print JSON')
  compile_cache.add_argument(parser)
  args = parser.parse_args(argv)
  terminal.check_networks(parser, args)
  if len(args.images) != (2 if args.gallery is None else 1):
    parser.error('give two images, or one and --gallery=DIR')
  if not 0.0 < args.fmr < 1.0:
    parser.error(f'--fmr={args.fmr}: give a rate between 0 and 1')
  if args.cohort is not None and args.score != 'fused':
    parser.error(f'--cohort is for --score=fused, not for {args.score}')
  if args.save_gallery is not None:
    if args.gallery is None or os.path.isfile(args.gallery):
      parser.error('--save-gallery=FILE needs --gallery=DIR, a folder')
    if args.score != 'fused':
      parser.error(f'--save-gallery is for --score=fused, not {args.score}')
  if args.top < 1:
    parser.error(f'--top={args.top}: give 1 or more')
  return args


def _verify(args):
  """The answer on two images, as plain values."""
  judge = _judge(args)
  point = _point(args, judge)  # Before the hands are found.
  read = palm_files.reader(
    size=judge.image_size,
    photos=args.photos,
    detector=args.detector,
    palm_frame=args.palm_frame,
  )
  palms = [read(path) for path in args.images]
  verdict = judge.compare(*palms, fmr=args.fmr)
  answer = {
    'decision': verdict.decision,
    'score': verdict.score,
    'warnings': palm_warnings.lines(_named(args.images, palms)),
    **point,
  }
  if args.photos:
    answer['photos'] = list(map(palm_files.describe, args.images, palms))
    answer['same_side'] = verdict.same_side is not False
  return answer


def _rank(args):
  """The answer on a gallery, as plain values."""
  judge = _judge(args)
  point = _point(args, judge)
  read = palm_files.reader(
    size=judge.image_size,
    photos=args.photos,
    detector=args.detector,
    palm_frame=args.palm_frame,
  )
  probe = read(args.images[0])
  searched = _gallery(args, judge, read)
  (scores,) = judge.scores([probe], searched.palms).tolist()
  best = {}
  # Of scores that are equal but for rounding the first name.
  for value, name, side in sorted(
    zip(scores, searched.names, searched.sides, strict=True),
    key=lambda palm: (-round(palm[0], _DIGITS), palm[1]),
  ):
    best.setdefault(palm_files.identity(name), (value, name, side))
  ranks = []
  for rank, (who, (value, name, side)) in enumerate(best.items(), 1):
    same_side = decision.same_side(decision.side(probe), side)
    verdict = judge.decide(value, fmr=args.fmr, same_side=same_side)
    row = {
      'rank': rank,
      'identity': who,
      'image': name,
      'decision': verdict.decision,
      'score': verdict.score,
    }
    if side is not None:
      row['hand'] = side
    ranks.append(row)
  same = (row['identity'] for row in ranks if row['decision'] == 'same')
  answer = {
    'identity': next(same, None),
    'ranks': ranks[: args.top],
    'identities': len(ranks),
    'images': len(searched.names),
    'left_out': searched.left_out,
    'missing': searched.missing,
    'warnings': [
      *palm_warnings.lines(_named(args.images, [probe])),
      *searched.warnings,
    ],
    **point,
  }
  if args.photos:
    answer['photos'] = [palm_files.describe(args.images[0], probe)]
  if args.save_gallery is not None:
    answer['saved'] = file_names.printable(args.save_gallery)
  return answer


class _Searched(NamedTuple):
  """A gallery, and of a folder what is not in it, and what may be no palm."""

  palms: gallery.Gallery | list
  names: tuple[str, ...]
  sides: tuple[str | None, ...]
  left_out: tuple[str, ...] = ()
  missing: tuple[str, ...] = ()
  warnings: tuple[str, ...] = ()


def _gallery(args, judge, read):
  """The gallery of the command line, saved if it asks for that."""
  if os.path.isfile(args.gallery):
    palms = judge.load_gallery(args.gallery)
    return _Searched(palms, palms.names, palms.sides)
  if not os.path.isdir(args.gallery):
    raise ValueError(
      f'there is no folder and no file {file_names.printable(args.gallery)}: '
      'give a folder of palms, or a file of --save-gallery'
    )
  if args.save_gallery is not None:  # Before the work.
    files.make_folder(os.path.dirname(args.save_gallery) or '.')
  folder = palm_files.read_gallery(args.gallery, read)
  palms = list(folder.palms.values())
  sides = tuple(map(decision.side, palms))
  if args.save_gallery is not None:
    palms = judge.enrol(folder.palms)
    palms.save(args.save_gallery)
  warned = tuple(palm_warnings.lines(folder.palms, folder.pictures))
  return _Searched(
    palms, tuple(folder.palms), sides, folder.left_out, folder.missing, warned
  )


def _judge(args):
  """The `Verifier` that the command line asks for."""
  judge = verifier.load(args.export, turns=args.turns, score=args.score)
  if args.cohort is not None:
    judge = judge.load_cohort(args.cohort)
  if judge.cohort is not None:
    judge.cohort.require(photos=args.photos)
  return judge


def _named(paths, palms):
  return dict(zip(map(file_names.printable, paths), palms, strict=True))


def _point(args, judge):
  """The threshold and what it was set on, as plain values."""
  # Of any score: what is told of the threshold is the same.
  verdict = judge.decide(0.0, fmr=args.fmr)
  point = {
    'threshold': verdict.threshold,
    'measure': verdict.measure,
    'fmr': args.fmr,
    'set_on': verdict.set_on,
    'calibrated': verdict.calibrated,
    'comparison': judge.comparison,
  }
  given = args.export != shipped.PALM
  if given and judge.score == 'fused' and judge.cohort is None:
    export = file_names.printable(args.export)
    point['unused'] = (
      f'the network of {export} takes no part: it needs a cohort, by python -m '
      f'palmjax.calibrate DIR --export={export}'
    )
  return point


if __name__ == '__main__':
  sys.exit(main())

"""Are two images of one palm?

python -m palmjax.verify A.jpg B.jpg
python -m palmjax.verify A.jpg --gallery=DIR
python -m palmjax.verify A.jpg B.jpg --photos
python -m palmjax.verify A.jpg B.jpg --cohort=cohort.npz

An image shows one palm and nothing else. The fingers point up. In a left palm
the thumb side is on the left. With --photos an image is a photo of a whole
hand, and the palm in the photo is found first. The answer is `same` or
`different`, with the score, the threshold, and the false match rate that the
threshold was set for. For networks trained with Euclidean distances the output
is a distance: smaller is more alike. From Python:

  v = palmjax.inference.verifier.load()
  v.compare(image, another).decision

and of photos of whole hands:

  find = palmjax.inference.finder.load()
  palm = palmjax.inference.palm_files.find_palm(find, photo, size=v.image_size)
  v.compare(palm, another)

Exit codes: 0 answered, same or different; 1 there is no answer (the last line
says why and what to do); 2 the command line is wrong; 3 answered, but palms of
the gallery could not be read, so that nobody can be found to be one of them.
"""

import argparse
import functools
import json
import sys
import warnings

from PIL import Image

from palmjax import compile_cache, terminal
from palmjax.inference import decision, finder, palm_files, verifier, words

_EXAMPLES = """examples:
  palmjax-verify A.jpg B.jpg
  palmjax-verify A.jpg --gallery=DIR --top=3
  palmjax-verify A.jpg B.jpg --photos --fmr=1e-4
  palmjax-verify A.jpg B.jpg --export=runs/metric/network/export
"""


@terminal.command
def main(argv=None):
  """The command line; returns the exit code."""
  args = _parse(argv)
  terminal.start(cache=not args.no_cache)
  # Too large ones are refused in our own words; damaged tags are none.
  warnings.simplefilter('ignore', Image.DecompressionBombWarning)
  warnings.filterwarnings('ignore', module=r'PIL\.')
  answer = _verify(args) if args.gallery is None else _rank(args)
  if args.json:
    print(json.dumps(answer, ensure_ascii=False))
  else:
    text = words.pair if args.gallery is None else words.ranks
    print(text(answer))
  return 3 if answer.get('missing') else 0


def _parse(argv):
  summary, _, text = __doc__.partition('\n')
  parser = terminal.Parser(
    'verify', description=summary, epilog=f'{text}\n{_EXAMPLES}'
  )
  parser.add_argument('images', nargs='+', metavar='IMAGE', type=terminal.path)
  parser.add_argument(
    '--gallery',
    metavar='DIR',
    type=terminal.path,
    help='rank <identity>/<image> or <image> in it',
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
    metavar='FILE',
    type=terminal.path,
    help='palms of the camera in use, made by python -m palmjax.calibrate',
  )
  parser.add_argument('--json', action='store_true', help='print JSON')
  compile_cache.add_argument(parser)
  args = parser.parse_args(argv)
  if len(args.images) != (2 if args.gallery is None else 1):
    parser.error('give two images, or one and --gallery=DIR')
  if not 0.0 < args.fmr < 1.0:
    parser.error(f'--fmr={args.fmr}: give a rate between 0 and 1')
  if args.cohort is not None and args.score != 'fused':
    parser.error(f'--cohort is for --score=fused, not for {args.score}')
  if args.top < 1:
    parser.error(f'--top={args.top}: give 1 or more')
  return args


def _verify(args):
  """The answer on two images, as plain values."""
  judge = _judge(args)
  point = _point(judge, args.fmr)  # Before the hands are found.
  read = _reader(args, judge.image_size)
  palms = [read(path) for path in args.images]
  found = judge.compare(*palms, fmr=args.fmr)
  answer = {
    'decision': found.decision,
    'score': found.score,
    **point,
  }
  if args.photos:
    answer['photos'] = list(map(palm_files.describe, args.images, palms))
    answer['same_side'] = found.same_side is not False
  return answer


def _rank(args):
  """The answer on a gallery, as plain values."""
  judge = _judge(args)
  point = _point(judge, args.fmr)
  read = _reader(args, judge.image_size)
  probe = read(args.images[0])
  palms, left_out, missing = palm_files.read_gallery(args.gallery, read)
  (scores,) = judge.scores([probe], list(palms.values())).tolist()
  best = {}
  # Of equal scores the first name.
  for value, name in sorted(
    zip(scores, palms, strict=True), key=lambda pair: (-pair[0], pair[1])
  ):
    best.setdefault(palm_files.identity(name), (value, name))
  ranks = []
  for rank, (who, (value, name)) in enumerate(best.items(), 1):
    found = judge.decide(
      value,
      fmr=args.fmr,
      same_side=decision.same_side(probe, palms[name]),
    )
    row = {
      'rank': rank,
      'identity': who,
      'image': name,
      'decision': found.decision,
      'score': found.score,
    }
    if args.photos:
      row['hand'] = palms[name].hand.side
    ranks.append(row)
  answer = {
    'ranks': ranks[: args.top],
    'identities': len(ranks),
    'images': len(palms),
    'left_out': left_out,
    'missing': missing,
    **point,
  }
  if args.photos:
    answer['photos'] = [palm_files.describe(args.images[0], probe)]
  return answer


def _judge(args):
  """The `Verifier` that the command line asks for."""
  found = verifier.load(args.export, turns=args.turns, score=args.score)
  return found if args.cohort is None else found.load_cohort(args.cohort)


def _reader(args, size):
  """path → `palm_files.Palm`, as the command line wants it."""
  if not args.photos:
    return functools.partial(palm_files.read, size=size)
  find = finder.load(args.detector, palm_frame=args.palm_frame)
  return functools.partial(palm_files.read_photo, find, size=size)


def _point(judge, fmr):
  """The threshold and what it was set on, as plain values."""
  # Of any score: what is told of the threshold is the same.
  found = judge.decide(0.0, fmr=fmr)
  return {
    'threshold': found.threshold,
    'measure': found.measure,
    'fmr': fmr,
    'set_on': found.set_on,
    'calibrated': found.calibrated,
    'comparison': judge.comparison,
  }


if __name__ == '__main__':
  sys.exit(main())

"""Times what palmjax does most; prints one line each.

python -m launch.bench [SUBJECT …] [--size=32] [--batch=32] [--repeats=5]
  [--arms=ot] [--peer=faiss] [--out=DIR] [--commit=COMMIT]

  drawing    palms are drawn
  pairs      embeddings are compared
  codes      orientation codes are searched for
  galleries  1,000 palms are enrolled, and one is found
  search     a million templates are searched; --peer=faiss: beside FAISS
  training   steps of recognition and of the GAN
  perturbed  steps of a detector on perturbed images, beside a plain one
  pytorch    steps of recognition beside PyTorch's, for those who have it
  serving    the server of devices under load, 100 uploads a second
  identities a step with a million identities, on --devices=8; alone, 7 GB

Without a subject: all but the last three. Machines differ and are shared:
compare lines of one run with each other, and trust the best of several repeats.
"""

import argparse
import pathlib
import sys

from launch.bench import (
  codes,
  drawing,
  galleries,
  identities,
  pairs,
  perturbed,
  searching,
  training,
)
from palmjax.engine import allocator


def _pytorch(args):
  # PyTorch is no requirement.
  from launch.bench import pytorch

  pytorch.run(args)


def _serving(args):
  # Its libraries are no requirement either: pip install palmjax[edge].
  from launch.bench import serving

  serving.run(args)


_SUBJECTS = {
  'drawing': drawing.run,
  'pairs': pairs.run,
  'codes': codes.run,
  'galleries': galleries.run,
  'search': searching.run,
  'training': training.run,
  'perturbed': perturbed.run,
  'pytorch': _pytorch,
  'serving': _serving,
  'identities': identities.run,
}
_UNUSUAL = ('pytorch', 'serving', 'identities')
_USUAL = [name for name in _SUBJECTS if name not in _UNUSUAL]


def main(argv=None):
  """The command line."""
  summary, _, text = __doc__.partition('\n')
  parser = argparse.ArgumentParser(
    prog='python -m launch.bench',
    description=summary,
    epilog=text,
    formatter_class=argparse.RawDescriptionHelpFormatter,
  )
  parser.add_argument('subjects', nargs='*', metavar='SUBJECT', default=_USUAL)
  for name, default, text in (
    ('size', None, 'side of the images of trained networks, 32; pytorch: 64'),
    ('batch', 32, 'images of a step, for pytorch'),
    ('repeats', 5, 'the best of so many counts'),
    ('seconds', None, 'of the load, for serving: 60'),
    ('rate', None, 'uploads a second, for serving: 100'),
    ('devices', 8, 'that the CPU pretends to be, for identities'),
  ):
    parser.add_argument(f'--{name}', type=int, default=default, help=text)
  parser.add_argument(
    '--arms',
    type=lambda text: text.split(','),
    default=[*perturbed.ARMS],
    help='perturbed: what is timed beside plain, ot; e.g. ot,adversarial',
  )
  parser.add_argument('--peer', choices=['faiss'], help='of search')
  parser.add_argument(
    '--out', metavar='DIR', help='of JSON, for perturbed and identities'
  )
  parser.add_argument('--commit', default='', help='to name in that file')
  args = parser.parse_args(argv)
  for subject in args.subjects:
    if subject not in _SUBJECTS:
      parser.error(f'no subject {subject!r}: choose of {", ".join(_SUBJECTS)}')
  if 'identities' in args.subjects and len(args.subjects) > 1:
    parser.error('identities: run it alone, it makes devices when JAX starts')
  for arm in args.arms:
    if arm not in perturbed.CHOICES:
      parser.error(f'no arm {arm!r}: choose of {", ".join(perturbed.CHOICES)}')
  if args.out is not None and not pathlib.Path(args.out).is_dir():
    parser.error(f'--out={args.out}: there is no such folder; make it')
  allocator.keep_freed_memory()
  for subject in args.subjects:
    _SUBJECTS[subject](args)


if __name__ == '__main__':
  sys.exit(main())

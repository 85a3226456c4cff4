"""Times what palmjax does most; prints one line each.

python -m launch.bench [SUBJECT …] [--size=32] [--batch=32] [--repeats=5]
  [--arms=ot] [--peer=faiss] [--small] [--out=DIR] [--commit=COMMIT]

  drawing      palms and hands are drawn
  pairs        embeddings are compared
  codes        orientation codes are searched for
  galleries    1,000 palms are enrolled, and one is found
  search       a million templates are searched; --peer=faiss: beside FAISS
  training     every train step, with its memory, and its FLOP/s beside those of
               a large matrix product; --peer=torch: beside PyTorch
  perturbed    steps of a detector on perturbed images, beside a plain one
  pytorch      steps of recognition, the detector and the GAN beside PyTorch's
  serving      the server of devices under load, 100 uploads a second
  identities   a step with a million identities, on --devices=8; alone, 10 GB
  accelerator  what an H200 is to reach, beside PyTorch (launch/gpu.sh)

Without a subject: all but the last four. --out writes bench.json with all
lines, and their times once more as a table of docs/results.md; perturbed,
pytorch and identities write a file of their own in its place. Machines differ
and are shared: compare lines of one run with each other, and trust the best of
several repeats.
"""

import argparse
import importlib.util
import itertools
import pathlib
import sys

import jax

from palmjax import files
from palmjax.engine import allocator

_OWN_FILE = 'perturbed', 'pytorch', 'identities'
_UNUSUAL = 'pytorch', 'serving', 'identities', 'accelerator'


def main(argv=None):
  """The command line."""
  # Before imports that start threads.
  allocator.keep_freed_memory()
  from launch.bench import perturbed, timing

  subjects = _subjects()
  summary, _, text = __doc__.partition('\n')
  parser = argparse.ArgumentParser(
    prog='python -m launch.bench',
    description=summary,
    epilog=text,
    formatter_class=argparse.RawDescriptionHelpFormatter,
  )
  parser.add_argument('subjects', nargs='*', metavar='SUBJECT')
  for name, default, text in (
    ('size', None, 'side of the images of trained networks; pytorch: 64'),
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
  parser.add_argument(
    '--peer', choices=['faiss', 'torch'], help='of search; of training'
  )
  parser.add_argument(
    '--small', action='store_true', help='tiny sizes: does all of it run?'
  )
  parser.add_argument('--out', metavar='DIR', help='JSON goes here')
  parser.add_argument('--commit', default='', help='to name in that file')
  args = parser.parse_args(argv)
  args.subjects = args.subjects or [x for x in subjects if x not in _UNUSUAL]
  for subject in args.subjects:
    if subject not in subjects:
      parser.error(f'no subject {subject!r}: choose of {", ".join(subjects)}')
  if 'identities' in args.subjects and len(args.subjects) > 1:
    parser.error('identities: run it alone, it makes devices when JAX starts')
  wants_torch = args.peer == 'torch' or 'pytorch' in args.subjects
  if wants_torch and importlib.util.find_spec('torch') is None:
    parser.error('PyTorch is not installed: pip install torch')
  for arm in args.arms:
    if arm not in perturbed.CHOICES:
      parser.error(f'no arm {arm!r}: choose of {", ".join(perturbed.CHOICES)}')
  if args.out is not None and not pathlib.Path(args.out).is_dir():
    parser.error(f'--out={args.out}: there is no such folder; make it')
  rows = {subject: list(subjects[subject](args)) for subject in args.subjects}
  if args.out and not set(args.subjects) <= set(_OWN_FILE):
    content = {
      'command': ' '.join(
        ['python -m launch.bench', *args.subjects]
        + ([f'--peer={args.peer}'] if args.peer else [])
      ),
      'measured_at': args.commit,
      'runs': f'one process; the best of {args.repeats} repeats',
      'device': jax.devices()[0].device_kind,
      'jax': jax.__version__,
      'rows': rows,
      'table': timing.table(itertools.chain(*rows.values())),
    }
    files.write_json(pathlib.Path(args.out) / 'bench.json', content)


def _subjects():
  """{name: function of the arguments that yields rows}."""
  from launch.bench import (
    accelerator,
    codes,
    drawing,
    galleries,
    identities,
    pairs,
    perturbed,
    searching,
    training,
  )

  return {
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
    'accelerator': accelerator.run,
  }


def _pytorch(args):
  # PyTorch is no requirement.
  from launch.bench.pytorch import compare

  yield from compare.run(args)


def _serving(args):
  # Its libraries are no requirement either: pip install .[edge].
  from launch.bench import serving

  serving.run(args)
  return ()


if __name__ == '__main__':
  sys.exit(main())

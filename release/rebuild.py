"""Makes shipped weights again, by the commands that their README keeps.

python -m release.rebuild --weights=hand_detector --boxes=BOXES --workdir=DIR
python -m release.rebuild --weights=mobilefacenet --workdir=DIR

Runs one command after the other: sets are drawn, networks trained, and what
comes out is packed and measured in DIR/weights. Nothing of the package is
replaced. The same command again goes on where it was cut off. It takes as long
as the trainings did: most of a day on two cores (--dry_run shows the commands).
"""

import argparse
import pathlib
import re
import shlex
import subprocess
import sys

from palmjax.networks import shipped

_SHIPPED = shipped.PALM.parent
_PACKED = 'palmjax/weights/'
_DRAWN = 'drawn_palms'
# Of weights that others went on from: what is kept of these beside the later.
_START = 'start_README.md'
# What stands for a path in the commands, a whole word at the start of a value.
_NAMES = re.compile(r'(?<==)(BOXES|DIR|RUN\d*|SET|START)(?=$|/)')


def main(argv=None):
  """The command line."""
  args = _parse(argv)
  for command in commands(
    _SHIPPED / args.weights, pathlib.Path(args.workdir), boxes=args.boxes
  ):
    if command[0] == 'python':
      command[0] = sys.executable
    # The set that an earlier command drew is known once it is there.
    command = [_with_set(word) for word in command]
    print('+', shlex.join(command), flush=True)
    if args.dry_run:
      continue
    try:
      code = subprocess.run(command, check=False).returncode
    except KeyboardInterrupt:
      # The command has been told as well, and saves what it has.
      sys.exit('rebuild: stopped; the same command goes on from here')
    if code:
      sys.exit(
        f'rebuild: stopped with exit code {code}; the last line says why, and '
        'the same command goes on from here'
      )


def _parse(argv):
  parser = argparse.ArgumentParser(
    prog='python -m release.rebuild', description=__doc__.split('\n')[0]
  )
  parser.add_argument(
    '--weights', required=True, choices=('hand_detector', 'mobilefacenet')
  )
  parser.add_argument('--workdir', required=True, metavar='DIR')
  parser.add_argument('--boxes', metavar='DIR', help='of hand_detector')
  parser.add_argument('--dry_run', action='store_true', help='only show')
  args = parser.parse_args(argv)
  if (args.weights == 'hand_detector') != bool(args.boxes):
    parser.error('give --boxes=DIR with hand_detector, and only there')
  return args


def commands(weights, workdir, *, boxes=None):
  """The commands that make weights.

  Args:
    weights: path of the folder of shipped weights.
    workdir: path of the folder in which everything is made.
    boxes: path of the real images with boxes.

  Returns:
    list of lists of words. A word may hold the name of a set that is not drawn
    yet, see `_with_set`.
  """
  found, names = [], {'BOXES': boxes}
  if (weights / _START).exists():
    start = workdir / 'start'
    found += _of_readme(weights / _START, start, names)
    # In one folder: what these went on from, packed.
    names['START'] = start / 'weights' / weights.name
  return found + _of_readme(weights / 'README.md', workdir, names)


def _of_readme(path, workdir, names):
  text = path.read_text().split('```')[1]
  names = {
    'DIR': workdir / 'sets',
    'SET': workdir / 'sets' / _DRAWN,
    'START': workdir / 'START',
    **names,
  }

  def place(match):
    name = match[0]
    return str(names.get(name, workdir / name))

  found = []
  for line in text.replace('\\\n', ' ').strip().splitlines():
    words = [_NAMES.sub(place, word) for word in shlex.split(line)]
    packed = f'--out={workdir}/weights/'
    found.append([word.replace(f'--out={_PACKED}', packed) for word in words])
  return found


def _with_set(word):
  """A word whose folder of sets, if it ends with one, is that of its one set.

  `palmjax.data.sets.prepared` draws into DIR/drawn_palms/<numbers>/<version>.
  """
  key, _, path = word.partition('=')
  if not path.endswith(f'/sets/{_DRAWN}'):
    return word
  found = list(pathlib.Path(path).glob('*/*/dataset_info.json'))
  if len(found) > 1:
    sys.exit(f'rebuild: {path} holds {len(found)} sets; keep one of them')
  return f'{key}={found[0].parent}' if found else word


if __name__ == '__main__':
  sys.exit(main())

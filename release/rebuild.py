"""Makes shipped weights again, by the commands in their made_by.json.

python -m release.rebuild --weights=hand_detector --boxes=BOXES --workdir=DIR
python -m release.rebuild --weights=mobilefacenet --workdir=DIR

Runs one command after the other. The commands draw sets, train networks, and
pack and measure them in DIR/weights. Nothing of the package is replaced. The
same command again goes on where it was cut off. It takes as long as the
trainings did, most of a day on two cores. --dry_run shows the commands.
"""

import argparse
import pathlib
import shlex
import subprocess
import sys

from palmjax.networks import shipped
from release import made_by

_SHIPPED = shipped.PALM.parent


def main(argv=None):
  """The command line."""
  args = _parse(argv)
  places = {'workdir': args.workdir, 'boxes': args.boxes}
  for words in args.commands:
    # The set that an earlier command drew is known once it is there.
    if 'set' in made_by.placeholders([words]):
      places['set'] = _only_set(places['sets'])
    command = made_by.fill(words, places)
    for word in command:
      if word.startswith('--data_dir='):
        places['sets'] = pathlib.Path(word.partition('=')[2])
    if command[0] == 'python':
      command[0] = sys.executable
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
    '--weights',
    required=True,
    choices=sorted(
      path.parent.name for path in _SHIPPED.glob('*/' + made_by.FILE)
    ),
  )
  parser.add_argument('--workdir', required=True, metavar='DIR')
  parser.add_argument(
    '--boxes', metavar='DIR', help='real images with boxes, for detectors'
  )
  parser.add_argument('--dry_run', action='store_true', help='only show')
  args = parser.parse_args(argv)
  commands = made_by.read(_SHIPPED / args.weights)['commands']
  args.commands = [command['argv'] for command in commands]
  needed = 'boxes' in made_by.placeholders(args.commands)
  if needed != bool(args.boxes):
    parser.error(
      f'{args.weights} needs --boxes=DIR: it was trained on real images'
      if needed
      else f'{args.weights} was trained without real images: leave out --boxes'
    )
  return args


def _only_set(folder):
  """The one set in a folder: `palmjax.prepare` draws DIR/drawn_palms/*/*."""
  drawn = folder / 'drawn_palms'
  info_files = list(drawn.glob('*/*/dataset_info.json'))
  if len(info_files) > 1:
    sys.exit(f'rebuild: {drawn} holds {len(info_files)} sets; keep one of them')
  return info_files[0].parent if info_files else drawn


if __name__ == '__main__':
  sys.exit(main())

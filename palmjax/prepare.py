"""Writes a data set to disk once, to be read at random by every run after.

  python -m palmjax.prepare --dataset=drawn_palms --data_dir=DIR
  python -m palmjax.prepare --dataset=tongji --source=DIR --data_dir=DIR

The second form brings a real set in: --source is the folder into which its
owners' archives were unpacked (`data.sets.builders`, one file for each set).
Palms are read with the fingers up. Where the owners' images lie otherwise,
--turn says by how many degrees clockwise they are turned; without it the
builder of the set does.
"""

import sys

import numpy as np
from absl import logging

from palmjax import compile_cache, config_file, terminal
from palmjax.data.sets import prepared, splits, turns
from palmjax.data.sets.builders import layout, real_sets

# What --dataset=drawn_palms takes, and its help; a real set takes none of it.
_DRAWN = {
  'identities': (1000, 'number of palms'),
  'samples': (20, 'images of each palm'),
  'size': (112, 'side of the images in pixels'),
  'difficulty': (0.5, '0 to 1'),
  'devices': (4, 'number of devices that took the pictures'),
  'seed': (0, 'of all that is drawn'),
}


@terminal.command
def main(argv=None):
  """The command line; returns the exit code."""
  summary, _, text = __doc__.partition('\n')
  parser = terminal.Parser('prepare', description=summary, epilog=text)
  parser.add_argument(
    '--dataset', choices=['drawn_palms', *real_sets.BUILDERS], required=True
  )
  parser.add_argument(
    '--data_dir', required=True, type=terminal.path, help='folder of all sets'
  )
  parser.add_argument(
    '--source', type=terminal.path, help='folder that holds a real set'
  )
  parser.add_argument(
    '--turn',
    type=int,
    choices=turns.TURNS,
    help='of a real set: degrees clockwise that bring its palms upright '
    '(default: what the builder of the set says)',
  )
  compile_cache.add_argument(parser)
  group = parser.add_argument_group('drawn_palms')
  for name, (default, text) in _DRAWN.items():
    group.add_argument(
      f'--{name}', type=type(default), help=f'{text} (default: {default})'
    )
  group.add_argument(
    '--images',
    metavar='DIR',
    type=terminal.path,
    help='also write the palms as files: DIR/<identity>/<image>.png',
  )
  args = parser.parse_args(argv)
  logging.set_verbosity(logging.ERROR)  # TFDS warns of every new config.
  numbers = {name: vars(args)[name] for name in _DRAWN}
  try:
    if args.dataset == 'drawn_palms':
      terminal.start(cache=not args.no_cache)
      _main_drawn(args, numbers)
    else:
      _main_real(args, numbers)
  except layout.LayoutError as error:
    print(f'palmjax: {error}', file=sys.stderr)  # With the tree, line by line.
    return 1
  return 0


def _main_drawn(args, numbers):
  if args.source is not None:
    raise ValueError('--source is for real sets; drawn_palms reads nothing')
  if args.turn is not None:
    raise ValueError('--turn is for real sets; drawn_palms lie upright')
  numbers = {
    name: _DRAWN[name][0] if value is None else value
    for name, value in numbers.items()
  }
  try:
    directory = prepared.drawn(args.data_dir, **numbers)
  except ValueError as error:
    raise ValueError(f'--{error}') from error
  if args.images is not None:
    prepared.write_images(directory, args.images)
  total = numbers['identities'] * numbers['samples']
  line = terminal.as_called(_training(directory, numbers))
  print(f'{total} images in {directory}\n{line}')


def _training(directory, numbers):
  """A line that trains on drawn palms, if they are enough."""
  config = config_file.read(str(config_file.SHIPPED / 'ssl.py'))
  identities = np.arange(numbers['identities'])
  try:
    trained = splits.by_identity(
      identities,
      seed=0,
      evaluation=float(config.evaluation_share),
      groups=identities // 2,
    ).train
  except ValueError:
    trained = ()
  labelled = {
    'identities': min(config.labelled.identities, len(trained)),
    'images': min(config.labelled.images, numbers['samples']),
  }
  if labelled['identities'] < 2 or labelled['images'] < 2:
    return 'Too few to train on: give --identities and --samples of 4 or more'
  options = [
    f'--config.labelled.{name}={count}'
    for name, count in labelled.items()
    if count != config.labelled[name]
  ]
  return ' '.join(
    [
      'Train on them: python -m palmjax.main --config=ssl',
      '--workdir=runs/prepared --config.data.name=drawn_palms',
      f'--config.data.dir={directory} --config.image_size={numbers["size"]}',
      *options,
    ]
  )


def _main_real(args, numbers):
  name = args.dataset
  numbers = {**numbers, 'images': args.images}
  given = [number for number, value in numbers.items() if value is not None]
  if given:
    raise ValueError(f'--{given[0]} is for drawn_palms, not for {name}')
  if args.source is None:
    raise ValueError(
      f'--dataset={name} needs --source=DIR, the folder that holds the set'
    )
  directory = real_sets.prepare(
    name, args.data_dir, source=args.source, turn=args.turn
  )
  info = prepared.builder(directory).info
  if skipped := info.metadata['skipped']:
    print(f'{len(skipped)} images cannot be read: {", ".join(skipped)}')
  turn = info.metadata.get('turn', 0)  # A set of an older version is kept.
  print(
    f'{info.splits["train"].num_examples} images of '
    f'{info.features["label"].num_classes} palms in {directory}'
    + (f', read after a turn by {turn}° clockwise' if turn else '')
    + '\n'
    + terminal.as_called('Train on them: python -m palmjax.main')
    + f' --config=metric --workdir=runs/{name} --config.data.name={name} '
    f'--config.data.dir={directory}'
  )


if __name__ == '__main__':
  sys.exit(main())

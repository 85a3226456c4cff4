"""Packs a trained hand detector as the shipped weights, and measures it.

python -m release.hand_weights --run=RUN --out=palmjax/weights/hand_detector

Give --run several times to ship the mean of several runs. The runs must have
gone on from the same weights: they then end in one valley of the loss, and its
middle does better than its rims (Wortsman et al. 2022, "Model soups").

The reader of palm frames that a run trained goes into the folder frame_reader
beside the detector. If no run trained one, the package's reader is measured.

`release/hand_measures.py` measures on drawn hands that no training saw, and
with --boxes on real images. Without --run it measures what lies in --out.
"""

import argparse
import pathlib
import sys

from palmjax import files
from palmjax.data.boxes import boxes
from palmjax.models import detector
from palmjax.networks import export as exports
from palmjax.networks import shipped
from palmjax.recipes.gesture import palm_frame as palm_frame_stage
from release import hand_measures, hand_runs, made_by, record

_ABOUT = [
  'Weights of the detector of hands. Licence: Apache-2.0, as palmjax.',
  '`python -m palmjax.detect` and `python -m palmjax.verify --photos` use '
  'them.',
]
_NETWORK = made_by.row(
  'weights.npz model.json preprocess.json',
  'the network (`palmjax/networks/export.py`)',
)
_RESULTS = made_by.row(
  'results.json',
  'average precision, palm frames and times, on hands that no training saw',
)
_READER = [
  'Weights of the reader of palm frames. This network looks at one hand. It',
  'finds the palm frame: two valleys between fingers, and the wrist. It was',
  'trained on drawn hands only. `python -m palmjax.detect` and',
  '`python -m palmjax.verify --photos` use it.',
  'Licence: Apache-2.0, as palmjax.',
]


def main(argv=None):
  """The command line."""
  args = _parse(argv)
  runs, out = [pathlib.Path(run) for run in args.run], pathlib.Path(args.out)
  try:
    if runs:
      commands = pack(
        runs,
        out,
        size=args.size,
        smaller=args.smaller,
        credit=args.credit,
        options=args.options,
        seed=args.seed,
      )
      reader_folder = pack_reader(runs, out, commands=commands)
    else:
      exports.load(out)
      beside = out.with_name(palm_frame_stage.NAME)
      reader_folder = beside if beside.is_dir() else shipped.PALM_FRAME
  except (OSError, ValueError) as error:
    sys.exit(f'hand_weights: {error}')
  results = hand_measures.measure(out, reader_folder, args)
  files.write_json(out / 'results.json', results)
  print(files.to_json(results))


def parser():
  """Returns the parser of the command line."""
  made = argparse.ArgumentParser(
    prog='python -m release.hand_weights', description=__doc__.split('\n')[0]
  )
  made.add_argument(
    '--run',
    action='append',
    default=[],
    metavar='DIR',
    help='workdir of configs/gesture.py:weights; several: their mean',
  )
  made.add_argument(
    '--out', required=True, metavar='DIR', help='folder of the shipped weights'
  )
  made.add_argument('--boxes', metavar='DIR', help='real images with boxes')
  made.add_argument(
    '--form', choices=tuple(boxes.FORMS), default='yolo', help='of --boxes'
  )
  made.add_argument(
    '--credit', default='', help='whose images were trained on, for the README'
  )
  for name, default, text in (
    ('images', 300, 'to draw, of any hands'),
    ('palms', 600, 'to draw, of one open palm each, twice as large'),
    ('size', 0, 'side of what it looks at, in pixels; 0: as in training'),
    ('difficulty', 0.5, '0 to 1'),
    ('seed', 2, 'of the drawn hands'),
  ):
    made.add_argument(
      f'--{name}', type=type(default), default=default, help=text
    )
  made.add_argument(
    '--smaller',
    nargs='+',
    type=float,
    default=[],
    metavar='SHARE',
    help='sizes that it looks at, too, as shares of that side',
  )
  return made


def _parse(argv):
  made = parser()
  args = made.parse_args(argv)
  if args.size % detector.STRIDE or args.size < 0:
    made.error(f'--size={args.size}: give a multiple of {detector.STRIDE}')
  for share in args.smaller:
    if not 0 < share < 1:
      made.error(f'--smaller {share:g}: give shares between 0 and 1')
  args.options = record.options(
    made,
    args,
    names={'boxes': '{boxes}', **dict.fromkeys(('run', 'out', 'seed'))},
  )
  return args


def pack(runs, out, *, size=0, smaller=(), credit='', options=(), seed):
  """Writes what runs trained, and how, into a folder.

  Args:
    runs: paths of the workdirs; of several the mean is taken.
    out: path of the folder.
    size: side of what it looks at, in pixels; 0: as in training.
    smaller: sides that it looks at, too, as shares of that one; a list.
    credit: whose images were trained on; '' if nobody's.
    options: words of the command line beside runs, folder and seed.
    seed: of the hands that it is measured on.

  Returns:
    The commands that make the weights, see `release.made_by`.

  Raises:
    ValueError: the runs trained networks of several kinds, or
      `hand_runs.commands` does.
    OSError: a run has no export.
  """
  exported = [exports.load(run / hand_runs.ARM / 'export') for run in runs]
  trainings = hand_runs.commands(runs)
  first = exported[0]
  for run, other in zip(runs, exported, strict=True):
    if (other.model, other.preprocess) != (first.model, first.preprocess):
      raise ValueError(
        f'{run} trained another network than {runs[0]}: give runs of one kind'
      )
  exports.save(
    out,
    variables=hand_runs.mean([other.variables for other in exported]),
    model=first.model,
    preprocess={
      **first.preprocess,
      'image_size': size or first.preprocess['image_size'],
      'smaller': list(smaller),
    },
  )
  for run, prefix in zip(runs, hand_runs.prefixes(runs), strict=True):
    record.keep(run, out, prefix=prefix)
  if (start := hand_runs.start(runs[0])) is not None:
    record.keep(start, out, prefix='start_')
  last = [
    *(f'--run={{workdir}}/{name}' for name in hand_runs.names(runs)),
    f'--out={{workdir}}/weights/{out.name}',
    f'--seed={seed}',
    *options,
  ]
  commands = [
    *trainings,
    record.command('release.hand_weights', last, seed=seed),
  ]
  made_by.write(
    out,
    {
      'name': out.name,
      'about': [
        *_ABOUT,
        *([f'\nBeside drawn hands it saw {credit}.'] if credit else []),
      ],
      'files': [_NETWORK, _RESULTS, *_logs(runs)],
      'figures': ['results.json'],
      'commands': commands,
    },
  )
  return commands


def _logs(runs):
  """What is kept of the trainings: rows of 'files'."""
  rows = [
    made_by.row(
      f'{prefix}config.json {prefix}training.jsonl',
      'configuration and log of the training'
      + (' of one network of the mean' if prefix else ''),
    )
    for prefix in hand_runs.prefixes(runs)
  ]
  if hand_runs.start(runs[0]) is not None:
    rows.append(
      made_by.row(
        'start_config.json start_training.jsonl',
        'the same of an earlier training, whose weights this one started from',
      )
    )
  return rows


def pack_reader(runs, out, *, commands):
  """Writes the reader of palm frames of a run beside the detector.

  Args:
    runs: paths of the workdirs; the first that trained a reader gives it.
    out: path of the folder of the detector.
    commands: what `pack` returned.

  Returns:
    Path of the reader's folder; that of the package where no run trained one.
  """
  trained = [
    (export, prefix)
    for run, prefix in zip(runs, hand_runs.prefixes(runs), strict=True)
    if (export := run / palm_frame_stage.NAME / 'export').is_dir()
  ]
  if not trained:
    return shipped.PALM_FRAME
  export, prefix = trained[0]
  folder = out.with_name(palm_frame_stage.NAME)
  reader = exports.load(export)
  exports.save(
    folder,
    variables=reader.variables,
    model=reader.model,
    preprocess=reader.preprocess,
  )
  made_by.write(
    folder,
    {
      'name': folder.name,
      'about': [
        *_READER,
        f'\nThe run that trained `{out.name}` trained this network, too.',
        f'The log of the run is `{out.name}/{prefix}training.jsonl`. Lines of',
        f'the stage `{palm_frame_stage.NAME}` are about this network.',
        f'`{out.name}/results.json` has the errors of this network under',
        '`open palms`, `looks=3`.',
      ],
      'files': [_NETWORK],
      'figures': [f'../{out.name}/results.json'],
      'commands': commands,
    },
  )
  return folder


if __name__ == '__main__':
  sys.exit(main())

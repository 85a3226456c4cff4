"""Packs a trained hand detector as the shipped weights, and measures it.

python -m release.hand_weights --run=RUN --out=palmjax/weights/hand_detector

Of several runs, each with a --run of its own, that went on from the same
weights, the mean is shipped: where such trainings end, one valley of the loss
is shared, and the middle of it does better than its rims (Wortsman et al. 2022,
"Model soups").

The reader of palm frames that the run trained goes into the folder
frame_reader beside it; where it trained none, that of the package is used.

What is measured, on drawn hands that no training saw and with --boxes on real
images: `release/hand_measures.py`. Without --run what lies in --out is measured
again.
"""

import argparse
import json
import pathlib
import sys

import jax
import numpy as np

from configs import gesture as gesture_config
from palmjax import files
from palmjax.data.boxes import boxes
from palmjax.models import detector
from palmjax.networks import export as exports
from palmjax.networks import shipped
from palmjax.recipes.gesture import palm_frame as palm_frame_stage
from release import hand_measures, record

_ARM = 'student_alone'

_README = """# {name}
Weights of the detector of hands. Licence: Apache-2.0, as palmjax.
`python -m palmjax.detect` and `python -m palmjax.verify --photos` use them.
{credit}
| file | what |
| --- | --- |
| `weights.npz`, `model.json`, `preprocess.json` | the network \
(`palmjax/networks/export.py`) |
| `results.json` | average precision, palm frames and times, on hands that no \
training saw |
| {records} |

Made by
```
{commands}
```
"""

_RECORD = (
  '`config.json`, `training.jsonl` | configuration and log of the training; '
  '`start_…` of the one that it went on from'
)
_RECORDS = (
  '`run0_…` and so on: `config.json`, `training.jsonl` | configuration and log '
  'of each training that the mean was taken of; `start_…` of the one that they '
  'went on from'
)

_READER = """# {name}
Weights of the reader of palm frames, trained on drawn hands only. Licence:
Apache-2.0, as palmjax. `python -m palmjax.detect` and
`python -m palmjax.verify --photos` use them.

Made by the same commands as `{detector}` beside it, whose README has them;
`{detector}/{log}` is its log, too (stage `{name}`), and
`{detector}/results.json` says how well it reads (`open palms`, looks=3).
"""


def main(argv=None):
  """The command line."""
  args = _parse(argv)
  runs, out = [pathlib.Path(run) for run in args.run], pathlib.Path(args.out)
  try:
    if runs:
      pack(
        runs,
        out,
        size=args.size,
        smaller=args.smaller,
        boxes=bool(args.boxes),
        credit=args.credit,
      )
      frames = pack_reader(runs, out)
    else:
      exports.load(out)
      beside = out.with_name(palm_frame_stage.NAME)
      frames = beside if beside.is_dir() else shipped.PALM_FRAME
  except (OSError, ValueError) as error:
    sys.exit(f'hand_weights: {error}')
  results = hand_measures.measure(out, frames, args)
  files.write_json(out / 'results.json', results)
  print(files.to_json(results))


def _parse(argv):
  parser = argparse.ArgumentParser(
    prog='python -m release.hand_weights', description=__doc__.split('\n')[0]
  )
  parser.add_argument(
    '--run',
    action='append',
    default=[],
    metavar='DIR',
    help='workdir of configs/gesture.py:weights; several: their mean',
  )
  parser.add_argument(
    '--out', required=True, metavar='DIR', help='folder of the shipped weights'
  )
  parser.add_argument('--boxes', metavar='DIR', help='real images with boxes')
  parser.add_argument(
    '--form', choices=tuple(boxes.FORMS), default='yolo', help='of --boxes'
  )
  parser.add_argument(
    '--credit', default='', help='whose images were trained on, for the README'
  )
  for name, default, text in (
    ('images', 300, 'to draw, of any hands'),
    ('palms', 600, 'to draw, of one open palm each, twice as large'),
    ('size', 0, 'side of what it looks at, in pixels; 0: as in training'),
    ('difficulty', 0.5, '0 to 1'),
    ('seed', 2, 'of the drawn hands'),
  ):
    parser.add_argument(
      f'--{name}', type=type(default), default=default, help=text
    )
  parser.add_argument(
    '--smaller',
    nargs='+',
    type=float,
    default=[],
    metavar='SHARE',
    help='sizes that it looks at, too, as shares of that side',
  )
  args = parser.parse_args(argv)
  if args.size % detector.STRIDE or args.size < 0:
    parser.error(f'--size={args.size}: give a multiple of {detector.STRIDE}')
  for share in args.smaller:
    if not 0 < share < 1:
      parser.error(f'--smaller {share:g}: give shares between 0 and 1')
  return args


def pack(runs, out, *, size, smaller, boxes, credit):
  """Writes what runs trained, and what it is, into a folder.

  Args:
    runs: paths of the workdirs; of several the mean is taken.
    out: path of the folder.
    size: side of what it looks at, in pixels; 0: as in training.
    smaller: sides that it looks at, too, as shares of that one; a list.
    boxes: whether real images with boxes are measured on.
    credit: whose images were trained on; '' if nobody's.

  Raises:
    ValueError: the runs trained networks of several kinds, or `commands` does.
    OSError: a run has no export.
  """
  found = [exports.load(run / _ARM / 'export') for run in runs]
  trainings = commands(runs)
  first = found[0]
  for run, other in zip(runs, found, strict=True):
    if (other.model, other.preprocess) != (first.model, first.preprocess):
      raise ValueError(
        f'{run} trained another network than {runs[0]}: give runs of one kind'
      )
  exports.save(
    out,
    variables=mean([other.variables for other in found]),
    model=first.model,
    preprocess={
      **first.preprocess,
      'image_size': size or first.preprocess['image_size'],
      'smaller': list(smaller),
    },
  )
  for run, prefix in zip(runs, _prefixes(runs), strict=True):
    record.keep(run, out, prefix=prefix)
  if (start := _start(runs[0])) is not None:
    record.keep(start, out, prefix='start_')
  every = ' '.join(f'--run={name}' for name in _names(runs))
  last = (
    f'python -m release.hand_weights {every} --out=palmjax/weights/{out.name}'
  )
  if size:
    last += f' \\\n  --size={size}'
  if smaller:
    last += ' \\\n  --smaller ' + ' '.join(f'{share:g}' for share in smaller)
  if boxes:
    last += ' \\\n  --boxes=BOXES'
  if credit:
    last += f' \\\n  --credit="{credit}"'
  files.write_file(
    out / 'README.md',
    _README.format(
      name=out.name,
      commands='\n'.join([*trainings, last]),
      credit=f'\nBeside drawn hands it saw {credit}.\n' if credit else '',
      records=_RECORDS if len(runs) > 1 else _RECORD,
    ),
  )


def mean(variables):
  """The mean of networks of one kind, leaf by leaf.

  Args:
    variables: list of trees of float arrays.

  Returns:
    A tree with the types of the first.
  """
  return jax.tree.map(
    lambda *leaves: np.mean(leaves, axis=0, dtype=np.float64).astype(
      leaves[0].dtype
    ),
    *variables,
  )


def pack_reader(runs, out):
  """Writes the reader of palm frames of a run beside the detector.

  Args:
    runs: paths of the workdirs; the first that trained a reader gives it.
    out: path of the folder of the detector.

  Returns:
    Path of the reader's folder; that of the package where no run trained one.
  """
  trained = [
    (export, prefix)
    for run, prefix in zip(runs, _prefixes(runs), strict=True)
    if (export := run / palm_frame_stage.NAME / 'export').is_dir()
  ]
  if not trained:
    return shipped.PALM_FRAME
  export, prefix = trained[0]
  folder = out.with_name(palm_frame_stage.NAME)
  found = exports.load(export)
  exports.save(
    folder,
    variables=found.variables,
    model=found.model,
    preprocess=found.preprocess,
  )
  text = _READER.format(
    name=folder.name, detector=out.name, log=f'{prefix}training.jsonl'
  )
  files.write_file(folder / 'README.md', text)
  return folder


def commands(runs):
  """The command lines of trainings, with the paths of a machine renamed.

  Args:
    runs: paths of the workdirs.

  Returns:
    list of str; one more where the trainings went on from another one.

  Raises:
    ValueError: the config has other keys than configs/gesture.py has now, the
      training before it went on from a third one, or several trainings did not
      go on from the same one.
  """
  start = _start(runs[0])
  for run in runs[1:]:
    if start is None or _start(run) != start:
      raise ValueError(
        f'{run} and {runs[0]} went on from different weights: a mean is taken '
        'of trainings that went on from the same ones'
      )
  lines = [
    _command(run, name) for run, name in zip(runs, _names(runs), strict=True)
  ]
  if start is None:
    return lines
  if _start(start) is not None:
    raise ValueError(
      f'{runs[0]} went on from {start}, which went on from another: train in '
      'one or two steps'
    )
  return [_command(start, 'START'), *lines]


def _names(runs):
  """What the commands call the workdirs."""
  if len(runs) == 1:
    return ['RUN']
  return [f'RUN{k}' for k in range(len(runs))]


def _prefixes(runs):
  """Of the files that are kept of each run."""
  if len(runs) == 1:
    return ['']
  return [f'{name.lower()}_' for name in _names(runs)]


def _start(run):
  """The workdir that a run went on from, or None."""
  path = json.loads((run / 'config.json').read_text())['train']['start']
  # WORKDIR/<stage>/export.
  return pathlib.Path(path).parents[1] if path else None


def _command(run, workdir):
  return record.command(
    run,
    path='configs/gesture.py:weights',
    usual=gesture_config.get_config('weights'),
    names={'data.dir': 'BOXES', 'train.start': f'START/{_ARM}/export'},
    workdir=workdir,
  )


if __name__ == '__main__':
  sys.exit(main())

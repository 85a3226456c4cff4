"""Packs a trained hand detector as the shipped weights, and measures it.

python -m launch.hand_weights --run=RUN --out=palmjax/weights/hand_detector

The reader of palm frames that the run trained goes into the folder
frame_reader beside it; where it trained none, that of the package is used.

What is measured, on drawn hands that no training saw and with --boxes on real
images: `launch/hand_measures.py`.
"""

import argparse
import json
import pathlib
import sys

from configs import gesture as gesture_config
from launch import hand_measures, record
from palmjax import hand_finder
from palmjax.data import boxes
from palmjax.edge import export as exports
from palmjax.engine import checkpoint
from palmjax.models import detector
from palmjax.recipes import frame_network

_ARM = 'student_alone'

_README = """# {name}
Weights of the detector of hands. Licence: Apache-2.0, as palmjax.
`python -m palmjax.detect` and `python -m palmjax.verify --photos` use them.
{credit}
| file | what |
| --- | --- |
| `weights.npz`, `model.json`, `preprocess.json` | the network \
(`palmjax/edge/export.py`) |
| `results.json` | average precision, palm frames and times, on hands that no \
training saw |
| `config.json`, `training.jsonl` | configuration and log of the training; \
`start_…` of the one that it went on from |

Made by
```
{commands}
```
"""

_READER = """# {name}
Weights of the reader of palm frames, trained on drawn hands only. Licence:
Apache-2.0, as palmjax. `python -m palmjax.detect` and
`python -m palmjax.verify --photos` use them.

Made by the same commands as `{detector}` beside it, whose README has them;
`{detector}/training.jsonl` is its log, too (stage `{name}`), and
`{detector}/results.json` says how well it reads (`open palms`, looks=3).
"""


def main(argv=None):
  """The command line."""
  args = _parse(argv)
  run, out = pathlib.Path(args.run), pathlib.Path(args.out)
  pack(run, out, size=args.size, boxes=bool(args.boxes), credit=args.credit)
  frames = pack_reader(run, out)
  results = hand_measures.measure(out, frames, args)
  checkpoint.write_json(out / 'results.json', results)
  print(checkpoint.to_json(results))


def _parse(argv):
  parser = argparse.ArgumentParser(
    prog='python -m launch.hand_weights', description=__doc__.split('\n')[0]
  )
  for name, text in (
    ('run', 'workdir of configs/gesture.py:weights'),
    ('out', 'folder of the shipped weights'),
  ):
    parser.add_argument(f'--{name}', required=True, metavar='DIR', help=text)
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
  args = parser.parse_args(argv)
  if args.size % detector.STRIDE:
    parser.error(f'--size={args.size}: give a multiple of {detector.STRIDE}')
  return args


def pack(run, out, *, size, boxes, credit):
  """Writes what a run trained, and what it is, into a folder.

  Args:
    run: path of the workdir.
    out: path of the folder.
    size: side of what it looks at, in pixels; 0: as in training.
    boxes: whether real images with boxes are measured on.
    credit: whose images were trained on; '' if nobody's.
  """
  found = exports.load(run / _ARM / 'export')
  exports.save(
    out,
    variables=found.variables,
    model=found.model,
    preprocess={
      **found.preprocess,
      'image_size': size or found.preprocess['image_size'],
    },
  )
  record.keep(run, out)
  if (start := _start(run)) is not None:
    record.keep(start, out, prefix='start_')
  last = (
    f'python -m launch.hand_weights --run=RUN --out=palmjax/weights/{out.name}'
  )
  if boxes:
    last += ' \\\n  --boxes=BOXES'
  if credit:
    last += f' \\\n  --credit="{credit}"'
  checkpoint.write_file(
    out / 'README.md',
    _README.format(
      name=out.name,
      commands='\n'.join([*commands(run), last]),
      credit=f'\nBeside drawn hands it saw {credit}.\n' if credit else '',
    ),
  )


def pack_reader(run, out):
  """Writes the reader of palm frames of a run beside the detector.

  Args:
    run: path of the workdir.
    out: path of the folder of the detector.

  Returns:
    Path of the reader's folder; that of the package where the run trained none.
  """
  export = run / frame_network.NAME / 'export'
  if not export.is_dir():
    return hand_finder.FRAMES
  folder = out.with_name(frame_network.NAME)
  found = exports.load(export)
  exports.save(
    folder,
    variables=found.variables,
    model=found.model,
    preprocess=found.preprocess,
  )
  text = _READER.format(name=folder.name, detector=out.name)
  checkpoint.write_file(folder / 'README.md', text)
  return folder


def commands(run):
  """The command lines of a training, with the paths of a machine renamed.

  Args:
    run: path of the workdir.

  Returns:
    list of str; two where the training went on from another one.

  Raises:
    ValueError: the config has other keys than configs/gesture.py has now, or
      the training before it went on from a third one.
  """
  start = _start(run)
  if start is None:
    return [_command(run, 'RUN')]
  if _start(start) is not None:
    raise ValueError(
      f'{run} went on from {start}, which went on from another: train in one '
      'or two steps'
    )
  return [_command(start, 'START'), _command(run, 'RUN')]


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

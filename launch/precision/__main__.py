"""Trainings in bfloat16 beside the same ones in float32, from several starts.

python -m launch.precision [--starts=8] [--kinds palm …] --out=DIR

Small networks, drawn palms and hands, 200 iterations. A number says by how many
percent the mean of a metric over all iterations differs from the training in
float32:

  steps   each iteration in bfloat16, from the state that the training in
          float32 had then; `update` is the part of the change of the weights
          that goes the way of the change in float32, minus 1
  free    in bfloat16, from the first state on
  scaled  in float32, from first weights times 1.0001

`steps` shows what each step does, and no bias that only grows over many steps.
`free` has this bias, too, but two trainings from almost one state drift apart,
whatever makes them differ. `scaled` tells by how much.
"""

import argparse
import shlex

import numpy as np
from scipy import stats

from launch.precision import compare
from launch.precision.trainings import KINDS
from palmjax import compile_cache, files
from palmjax.engine import allocator

_FIRST = 100  # Start.


def main(argv=None):
  """The command line."""
  parser = argparse.ArgumentParser(
    prog='python -m launch.precision', description=__doc__.split('\n')[0]
  )
  parser.add_argument('--starts', type=int, default=8, metavar='N')
  parser.add_argument(
    '--kinds', nargs='+', default=list(KINDS), choices=list(KINDS)
  )
  parser.add_argument('--out', required=True, metavar='DIR')
  parser.add_argument('--commit', default='', help='to name in the file')
  args = parser.parse_args(argv)
  if args.starts < 2:
    parser.error('an interval needs 2 or more --starts')
  allocator.keep_freed_memory()
  compile_cache.start()
  out = files.make_folder(args.out)
  differences = {}
  for kind in args.kinds:
    training = KINDS[kind]()
    for start in range(_FIRST, _FIRST + args.starts):
      columns = compare.compare(training, start)
      for column, values in columns.items():
        for name, value in values.items():
          row = differences.setdefault(f'{kind}: {name}', {})
          row.setdefault(column, []).append(100 * value)
      losses = {
        x: f'{100 * y[training.judged[0]]:.2f} %' for x, y in columns.items()
      }
      print(f'{kind}, start {start}: {losses}', flush=True)
  kinds = [] if len(args.kinds) == len(KINDS) else ['--kinds', *args.kinds]
  content = {
    'command': f'python -m launch.precision --starts={args.starts} '
    + shlex.join([*kinds, '--out=DIR']),
    'measured_at': args.commit,
    'runs': f'{args.starts} starts',
    'table': {
      name: {column: _interval(values) for column, values in row.items()}
      for name, row in differences.items()
    },
    'starts': differences,
  }
  files.write_json(out / 'precision.json', content)


def _interval(values):
  """Mean, and its 95 % interval by Student's t."""
  mean = np.mean(values)
  reach = stats.t.ppf(0.975, len(values) - 1) * stats.sem(values)
  return {'mean': mean, 'low': mean - reach, 'high': mean + reach}


if __name__ == '__main__':
  main()

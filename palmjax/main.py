"""Trains and measures: runs one recipe, or resumes it.

  python -m palmjax.main --config configs/ssl.py --workdir runs/ssl

The same command runs on many hosts, a process on each: SLURM, Open MPI and TPU
pod slices are found by themselves, and --coordinator, --processes and --process
say it elsewhere. See docs/scale.md.

Exit codes: 0 done, or stopped by SIGTERM or Ctrl-C at a checkpoint; 1 the run
cannot go on (the last line says what to do); 2 the command line is wrong; 130
stopped by Ctrl-C between two stages.
"""

import argparse
import logging as text
import sys
import traceback
import warnings

import jax
from absl import flags, logging

from palmjax import compile_cache, config_file, terminal
from palmjax.engine import allocator, loop, processes, run_folder
from palmjax.recipes.distill import recipe as distill
from palmjax.recipes.gesture import recipe as gesture
from palmjax.recipes.metric import recipe as metric
from palmjax.recipes.robust import recipe as robust
from palmjax.recipes.ssl import recipe as ssl

RECIPES = {
  'ssl': ssl.run,
  'metric': metric.run,
  'gesture': gesture.run,
  'robust': robust.run,
  'distill': distill.run,
}

_EXAMPLES = """
The same command again resumes a run. Any value of the configuration can be set
with --config.KEY=VALUE, e.g. --config.seed=1 --config.cnn.steps=300. CONFIG is
a file or a name below. A variant stands after a colon, e.g. ssl:smoke.

"""


def main(argv=None):
  """Runs one recipe; returns the exit code.

  Args:
    argv: arguments without the program's name; None takes the process's.
  """
  try:
    code = _run(argv)
  except Exception:
    if not processes.joined():
      raise
    traceback.print_exc()
    code = 1
  processes.end(code)
  return code


@terminal.command
def _run(argv):
  config, args = _parse(sys.argv[1:] if argv is None else argv)
  flags.FLAGS.mark_as_parsed()  # absl would warn of logging before it.
  logging.use_absl_handler()
  # Its own form begins with a thread's number and a file of ours.
  logging.get_absl_handler().setFormatter(text.Formatter('%(message)s'))
  logging.set_verbosity(logging.WARNING)
  # Of arrays that may be whole hands: `whole_hands.check` names their files.
  warnings.filterwarnings('ignore', r'images\[\d+\] ', UserWarning)
  # Before the threads that join processes: `terminal.start` would be too late.
  allocator.keep_freed_memory()
  processes.start(*_joined(args), heartbeat=args.heartbeat)
  terminal.start(cache=not args.no_cache)
  if processes.is_first():
    logging.set_verbosity(logging.INFO)
  jax.config.update('jax_disable_most_optimizations', not config.optimise)
  try:
    with processes.named_losses():
      RECIPES[config.recipe](config, args.workdir)
  except loop.Interrupted as stop:
    terminal.complain(stop)
  except KeyboardInterrupt:
    terminal.complain('stopped; the same command resumes')
    return 130
  finally:
    run_folder.drop_unused(args.workdir)
  return 0


def _parse(argv):
  """Returns (config, arguments); ends the process where they are wrong."""
  parser = terminal.Parser(
    'main',
    usage='%(prog)s --config CONFIG --workdir DIR [--config.KEY=VALUE …]',
    description=__doc__.partition('\n')[0],
    epilog=_EXAMPLES
    + '\n\n'.join(
      f'{name}: {config_file.docstring(name)}' for name in config_file.names()
    ),
  )
  parser.add_argument(
    '--config', help='e.g. configs/ssl.py, ssl, metric:smoke, my.py'
  )
  parser.add_argument(
    '--workdir', type=terminal.path, metavar='DIR', help='folder of this run'
  )
  compile_cache.add_argument(parser)
  hosts = parser.add_argument_group('many processes, one on each host')
  hosts.add_argument(
    '--coordinator', metavar='HOST:PORT', help='of process 0, a free port'
  )
  hosts.add_argument(
    '--processes',
    type=_count,
    metavar='N',
    help="how many; or 'auto' alone: JAX asks the cluster",
  )
  hosts.add_argument(
    '--process', type=int, metavar='I', help='which one this is, from 0'
  )
  hosts.add_argument(
    '--heartbeat',
    type=int,
    metavar='SECONDS',
    default=processes.HEARTBEAT,
    help='without a sign of life of one process, after which all end '
    '(%(default)s)',
  )
  # What is left is for the configuration, or nobody's.
  args, rest = parser.parse_known_args(argv)
  missing = [
    *([] if args.config else ['--config=configs/ssl.py']),
    *(['--workdir=runs/NAME'] if args.workdir is None else []),
  ]
  if missing:
    parser.error(f'give {" and ".join(missing)}')
  if '://' in args.workdir:
    parser.error(
      f'--workdir={args.workdir}: give a path; a bucket must be mounted'
    )
  try:
    processes.check(*_joined(args), heartbeat=args.heartbeat)
    config = config_file.override(config_file.read(args.config), rest)
    if config.get('recipe') not in RECIPES:
      raise ValueError(
        f'recipe {config.get("recipe")!r} of {args.config}: choose one of '
        f'{sorted(RECIPES)}'
      )
    config_file.require_keys(config, args.config)
    config_file.require_read(config, args.config)
  except ValueError as error:
    parser.error(str(error))
  return config, args


def _joined(args):
  return args.coordinator, args.processes, args.process


def _count(argument):
  try:
    return argument if argument == 'auto' else int(argument)
  except ValueError as error:
    raise argparse.ArgumentTypeError(
      f"give a whole number or 'auto', not {argument!r}"
    ) from error


if __name__ == '__main__':
  sys.exit(main())

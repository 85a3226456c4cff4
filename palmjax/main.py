"""python -m palmjax.main --config configs/ssl.py --workdir runs/ssl

Exit codes: 0 done, or stopped by SIGTERM or Ctrl-C at a checkpoint; 1 the run
cannot go on (the last line says what to do); 2 the command line is wrong; 130
stopped by Ctrl-C between two stages.
"""

import os
import sys

import jax
from absl import flags, logging
from ml_collections import config_flags

from palmjax.engine import allocator, loop
from palmjax.recipes.gesture import recipe as gesture
from palmjax.recipes.metric import recipe as metric
from palmjax.recipes.ssl import recipe as ssl

RECIPES = {'ssl': ssl.run, 'metric': metric.run, 'gesture': gesture.run}

_CONFIG = config_flags.DEFINE_config_file(
  'config', None, 'File of the configuration, e.g. configs/ssl.py:smoke.'
)
_WORKDIR = flags.DEFINE_string(
  'workdir', None, 'Folder of this run; the same command again resumes it.'
)


def _parse(argv):
  """Returns (config, workdir). Raises ValueError with one line for the user."""
  try:
    flags.FLAGS(argv)
    config = _CONFIG.value
    recipe = None if config is None else config.recipe
  except AttributeError as error:
    # The config's own words: the key, and the nearest one that it has.
    cause = error.args[0]
    text = cause.args[0] if isinstance(cause, KeyError) else cause
    raise ValueError(f'unknown key in --config.KEY: {text}') from error
  except (flags.Error, OSError, TypeError) as error:
    # An error of the file itself arrives as a traceback in a message.
    raise ValueError(str(error).strip().splitlines()[-1]) from error
  if config is None or _WORKDIR.value is None:
    raise ValueError('give --config=configs/ssl.py and --workdir=runs/NAME')
  if recipe not in RECIPES:
    raise ValueError(f'recipe {recipe!r}: choose one of {sorted(RECIPES)}')
  return config, _WORKDIR.value


def _fail(error, code):
  print(f'palmjax: {" ".join(str(error).split())}', file=sys.stderr)
  return code


def main(argv):
  """Runs one recipe; returns the exit code."""
  os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')
  allocator.keep_freed_memory()
  logging.use_absl_handler()
  logging.set_verbosity(logging.INFO)
  try:
    config, workdir = _parse(argv)
  except ValueError as error:
    return _fail(error, 2)
  if jax.config.jax_compilation_cache_dir is None:
    # Stages share programs, and so do a killed run and the one that goes on.
    jax.config.update('jax_compilation_cache_dir', f'{workdir}/compiled')
    jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.5)
  jax.config.update('jax_disable_most_optimizations', not config.optimise)
  try:
    RECIPES[config.recipe](config, workdir)
  except loop.Interrupted as stop:
    print(f'palmjax: {stop}', file=sys.stderr)
  except KeyboardInterrupt:
    print('palmjax: stopped; the same command resumes', file=sys.stderr)
    return 130
  except (ValueError, OSError) as error:
    return _fail(error, 1)
  except (MemoryError, jax.errors.JaxRuntimeError) as error:
    memory = isinstance(error, MemoryError) or 'RESOURCE_EXHAUSTED' in str(
      error
    )
    advice = 'out of memory; lower the batch sizes: ' if memory else ''
    return _fail(f'{advice}{error}', 1)
  return 0


if __name__ == '__main__':
  sys.exit(main(sys.argv))

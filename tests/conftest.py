"""What all tests share: how JAX compiles, and commands in real processes."""

import gc
import os
import pathlib
import subprocess
import sys

import jax
import pytest
from absl import logging

from palmjax import compile_cache

ROOT = pathlib.Path(__file__).parents[1]

# The older code generator of XLA for CPUs compiles in about 0.6 of the time:
# tests of the GAN's updates took 63 CPU-seconds and take 40. One module a
# program saves another tenth.
_QUICK = (
  '--xla_cpu_use_fusion_emitters=false',
  '--xla_cpu_parallel_codegen_split_count=1',
)


def pytest_configure():
  """Compiles with little optimisation and keeps the compiled programs.

  Most of the time of the tests is compilation. Workers of xdist and processes
  that tests start inherit the environment: all share one folder.
  """
  # XLA ends the process at a flag that it does not know, and these were tried
  # on one version.
  if jax.__version_info__ < (0, 11):
    given = os.environ.get('XLA_FLAGS', '')
    # XLA takes the last of two flags of one name: the user's.
    os.environ['XLA_FLAGS'] = ' '.join((*_QUICK, given))
  os.environ.setdefault('JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS', '0.1')
  folder = compile_cache.start()
  if folder is not None:
    os.environ['JAX_COMPILATION_CACHE_DIR'] = folder
  # JAX read its variables when it was imported: both are for the processes.
  jax.config.update(
    'jax_persistent_cache_min_compile_time_secs',
    float(os.environ['JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS']),
  )
  os.environ.setdefault('JAX_DISABLE_MOST_OPTIMIZATIONS', '1')
  jax.config.update(
    'jax_disable_most_optimizations',
    os.environ['JAX_DISABLE_MOST_OPTIMIZATIONS'] not in ('', '0'),
  )
  # Tracing makes many objects: a sixth of its time was the search for cycles.
  gc.set_threshold(50_000, 50, 100)


def pytest_collection_finish():
  """All modules are imported: they are no garbage."""
  gc.collect()
  gc.freeze()


@pytest.fixture(autouse=True)
def settings():
  """Each test compiles and logs alike, whatever a command before it set."""
  name = 'jax_disable_most_optimizations'
  before = jax.config.values[name], logging.get_verbosity()
  yield
  jax.config.update(name, before[0])
  logging.set_verbosity(before[1])


@pytest.fixture(scope='session')
def palmjax_command():
  """Starts `python -m palmjax.main` with arguments; returns the process."""

  def start(*arguments):
    return subprocess.Popen(
      [sys.executable, '-m', 'palmjax.main', *arguments],
      cwd=ROOT,
      stdout=subprocess.PIPE,
      stderr=subprocess.STDOUT,
      text=True,
    )

  return start

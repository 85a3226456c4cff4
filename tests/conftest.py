"""What tests of whole runs share."""

import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]


@pytest.fixture(scope='session')
def palmjax_command(tmp_path_factory):
  """Starts `python -m palmjax.main` with arguments; returns the process.

  All processes of the session share compiled programs.
  """
  cache = tmp_path_factory.mktemp('compiled')
  environment = os.environ | {
    'JAX_COMPILATION_CACHE_DIR': str(cache),
    'JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS': '0.2',
  }

  def start(*arguments):
    return subprocess.Popen(
      [sys.executable, '-m', 'palmjax.main', *arguments],
      cwd=ROOT,
      env=environment,
      stdout=subprocess.PIPE,
      stderr=subprocess.STDOUT,
      text=True,
    )

  return start


@pytest.fixture(scope='session')
def smoke_run(palmjax_command, tmp_path_factory):
  """The workdir of an undisturbed run of configs/ssl.py:smoke."""
  workdir = tmp_path_factory.mktemp('smoke')
  process = palmjax_command(
    '--config=configs/ssl.py:smoke', f'--workdir={workdir}'
  )
  output, _ = process.communicate(timeout=900)
  assert process.returncode == 0, output
  return workdir

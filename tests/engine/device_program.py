"""Runs a program on several devices, which JAX counts when it starts."""

import os
import pathlib
import subprocess
import sys

_ROOT = pathlib.Path(__file__).parents[2]
# For programs that compile for longer than they run.
UNOPTIMISED = '--xla_backend_optimization_level=0'


def run(program, *arguments, devices=8, flags='', timeout=900):
  """Lines that a program prints where the CPU pretends to be several devices.

  Args:
    program: path of a Python file.
    *arguments: of its command line.
    devices: how many.
    flags: further XLA_FLAGS.
    timeout: seconds after which it has failed.

  Returns:
    List of str. Fails with its errors unless it ends with exit code 0.
  """
  result = subprocess.run(
    [sys.executable, program, *arguments],
    env=os.environ
    | {
      'PYTHONPATH': str(_ROOT),
      'JAX_PLATFORMS': 'cpu',
      'XLA_FLAGS': (
        f'{os.environ.get("XLA_FLAGS", "")} '
        f'--xla_force_host_platform_device_count={devices} {flags}'
      ),
    },
    capture_output=True,
    text=True,
    timeout=timeout,
  )
  assert result.returncode == 0, result.stderr[-3000:]
  return result.stdout.splitlines()

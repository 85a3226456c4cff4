"""Every step of the recipes: 8 simulated devices give the result of one."""

import os
import pathlib
import subprocess
import sys

import pytest

STEPS = {
  'palms': ('classify', 'soft_label', 'metric', 'distill', 'self_distill'),
  'hands': ('detect', 'palm_frame', 'two_teachers'),
  'perturbed': ('ot', 'free'),
  'perturbed_palms': ('ot, palms',),
  'mobilefacenet': ('mobilefacenet',),
  'gan': ('discriminator', 'r1', 'generator', 'path_length'),
}
# Most of them compile for more than half a minute.
SLOW = tuple(part for part in STEPS if part != 'palms')


def run(program, *parts):
  """Lines that a program of this folder prints on eight devices."""
  here = pathlib.Path(__file__)
  # Unoptimised: a step compiles twice and runs twice.
  flags = (
    f'{os.environ.get("XLA_FLAGS", "")} '
    '--xla_force_host_platform_device_count=8 '
    '--xla_backend_optimization_level=0'
  )
  environment = os.environ | {
    'PYTHONPATH': str(here.parents[2]),
    'JAX_PLATFORMS': 'cpu',
    'XLA_FLAGS': flags,
  }
  result = subprocess.run(
    [sys.executable, here.with_name(program), *parts],
    env=environment,
    capture_output=True,
    text=True,
  )
  assert result.returncode == 0, result.stderr[-3000:]
  return tuple(result.stdout.splitlines())


@pytest.mark.parametrize(
  'part',
  ['palms', *(pytest.param(x, marks=pytest.mark.slow) for x in SLOW)],
)
def test_eight_devices_give_the_result_of_one(part):
  assert run('devices_program.py', part) == STEPS[part]


def test_split_classes_give_the_step_of_one_device():
  assert run('sharded_metric_program.py') == (
    'compare_steps',
    'compare_samples',
  )

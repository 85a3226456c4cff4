"""Every step of the recipes: 8 simulated devices give the result of one."""

import pathlib

import pytest

from tests.engine import device_program

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
  # Unoptimised: a step compiles twice and runs twice.
  path = pathlib.Path(__file__).with_name(program)
  lines = device_program.run(path, *parts, flags=device_program.UNOPTIMISED)
  return tuple(lines)


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

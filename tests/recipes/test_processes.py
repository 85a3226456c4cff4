"""Runs of two processes against runs of one process with two devices."""

import json

import pytest

from palmjax.engine import logs
from tests.engine import process_group

_DEVICES = '--xla_force_host_platform_device_count={}'
# Recipe → the words of a short run, and its stages.
_RUNS = {
  'gesture': (
    (
      '--config=gesture:smoke',
      "--config.arms=('student_both',)",
      '--config.train.steps=4',
      '--config.palm_frame.steps=4',
      '--config.train.learning_rate=0.001',
      '--config.palm_frame.learning_rate=0.001',
    ),
    ('teacher1', 'teacher2', 'student_both', 'frame_reader'),
  ),
}


def run(words, workdir, *, processes):
  """Outputs of the processes, text; they have two devices together."""
  command = ['-m', 'palmjax.main', '--config.log_every=1', *words]
  results = process_group.finish(
    process_group.start(
      [*command, f'--workdir={workdir}'],
      processes,
      option='--{}={}',
      environment={'XLA_FLAGS': _DEVICES.format(2 // processes)},
    ),
    timeout=1800,
  )
  for code, _, errors in results:
    assert code == 0, errors[-3000:]
  return [output + errors for _, output, errors in results]


@pytest.mark.slow
@pytest.mark.parametrize('recipe', _RUNS)
def test_two_processes_end_with_the_bits_of_two_devices(recipe, tmp_path):
  words, stages = _RUNS[recipe]
  one, two = tmp_path / 'one', tmp_path / 'two'
  run(words, one, processes=1)
  first, second = run(words, two, processes=2)
  assert 'Done. ' in first
  # Process 0 alone tells, and writes.
  assert 'Done. ' not in second
  assert 'begins' not in second
  assert {x.name for x in two.iterdir()} == {x.name for x in one.iterdir()}
  assert {x['stage'] for x in logs.read(two / 'metrics.jsonl')} == {*stages}
  for name in (
    'metrics.jsonl',
    'metrics.json',
    *(f'{stage}/export/weights.npz' for stage in stages),
  ):
    assert (two / name).read_bytes() == (one / name).read_bytes(), name
  facts = [json.loads((x / 'run.json').read_text()) for x in (one, two)]
  assert [x['machine']['device_count'] for x in facts] == [2, 2]

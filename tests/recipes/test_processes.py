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
  'robust': (
    (
      '--config=robust:smoke',
      "--config.arms=('ot',)",
      '--config.train.steps=4',
      '--config.train.learning_rate=0.001',
      '--config.attack.radii=(8,)',
    ),
    ('ot',),
  ),
  'distill': (
    (
      '--config=distill:smoke',
      "--config.device.arms=('both',)",
      '--config.teacher.cnn.steps=4',
      '--config.student.cnn.steps=4',
    ),
    ('teacher', 'student_alone', 'student_placebo', 'student_distilled'),
  ),
}
# By how much losses may differ; 0: all bits are equal, those of exports, too.
# The attack of `robust` takes signs of gradients.
_RELATIVE = {'gesture': 0.0, 'robust': 1e-5, 'distill': 0.0}


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


def compare(one, two, stages, *, relative):
  """Compares losses and metrics of two runs; exports, where bits are equal."""
  rows = [logs.read(folder / 'metrics.jsonl') for folder in (one, two)]
  assert {row['stage'] for row in rows[1]} == {*stages}
  for row, other in zip(*rows, strict=True):
    for name, value in row.items():
      if isinstance(value, float):
        value = pytest.approx(value, rel=relative)
      assert other[name] == value, name
  names = ['metrics.json']
  if not relative:
    names.append('metrics.jsonl')
    names += [f'{stage}/export/weights.npz' for stage in stages]
  for name in names:
    assert (two / name).read_bytes() == (one / name).read_bytes(), name


@pytest.mark.slow
@pytest.mark.parametrize('recipe', _RUNS)
def test_two_processes_end_as_two_devices_do(recipe, tmp_path):
  words, stages = _RUNS[recipe]
  one, two = tmp_path / 'one', tmp_path / 'two'
  run(words, one, processes=1)
  first, second = run(words, two, processes=2)
  assert 'Done. ' in first
  # Process 0 alone tells, and writes.
  assert 'Done. ' not in second
  assert 'begins' not in second
  assert {x.name for x in two.iterdir()} == {x.name for x in one.iterdir()}
  compare(one, two, stages, relative=_RELATIVE[recipe])
  facts = [json.loads((x / 'run.json').read_text()) for x in (one, two)]
  assert [x['machine']['device_count'] for x in facts] == [2, 2]

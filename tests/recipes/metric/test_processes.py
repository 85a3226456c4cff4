"""A whole run of two processes against one of one."""

import json

import pytest

from palmjax.engine import logs
from tests.engine import process_group

_WORDS = (
  '-m',
  'palmjax.main',
  '--config=metric:smoke',
  '--config.cnn.steps=4',
  '--config.cnn.warmup_steps=2',
  '--config.cnn.ckpt_every=2',
  '--config.log_every=1',
  # At the rate of the smoke test a difference in the last bit of a sum grows
  # a thousandfold in a step, as between one and two devices of one process.
  '--config.cnn.learning_rate=0.001',
)


def run(workdir, count):
  """Outputs of the processes: text."""
  results = process_group.finish(
    process_group.start(
      [*_WORDS, f'--workdir={workdir}'], count, option='--{}={}'
    ),
    timeout=900,
  )
  for code, _, errors in results:
    assert code == 0, errors[-3000:]
  return [output + errors for _, output, errors in results]


def numbers(value):
  """Numbers of nested dicts and lists, by their place."""
  if isinstance(value, dict | list):
    items = value.items() if isinstance(value, dict) else enumerate(value)
    return {
      (key, *rest): number
      for key, item in items
      for rest, number in numbers(item).items()
    }
  return {(): value} if isinstance(value, int | float) else {}


@pytest.mark.slow
def test_two_processes_report_what_one_does(tmp_path):
  one, two = tmp_path / 'one', tmp_path / 'two'
  run(one, 1)
  first, second = run(two, 2)
  assert 'Done. EER' in first
  assert 'Done.' not in second
  assert 'network' not in second
  lines, expected = (logs.read(x / 'metrics.jsonl') for x in (two, one))
  assert len(lines) == 4
  assert [line['loss'] for line in lines] == pytest.approx(
    [line['loss'] for line in expected], rel=1e-5
  )
  assert numbers(lines) == pytest.approx(numbers(expected), rel=1e-4, abs=1e-5)
  results, expected = (
    numbers(json.loads((x / 'metrics.json').read_text())) for x in (two, one)
  )
  assert results == pytest.approx(expected, abs=1e-3)
  assert {x.name for x in two.iterdir()} == {x.name for x in one.iterdir()}

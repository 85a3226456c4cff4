"""Real processes on the CPU train as one process does."""

import json
import os
import pathlib
import re
import signal

import pytest

from palmjax.engine import logs, processes
from tests.engine import process_group

_TWO_DEVICES = '--xla_force_host_platform_device_count=2'
_PROGRAM = pathlib.Path(__file__).with_name('processes_program.py')


def start(workdir, count, *options):
  return process_group.start([_PROGRAM, workdir, *options], count)


def finish(workdir, count, *options):
  """Outputs of processes that end well."""
  results = process_group.finish(start(workdir, count, *options))
  for code, _, errors in results:
    assert code == 0, errors[-3000:]
  return [output for _, output, _ in results]


def digests(outputs):
  return {re.search(r'^digest (\w+)', out, re.M)[1] for out in outputs}


def measured(workdir):
  """{(step, kind): {metric: value}} of a log; of two lines the last counts."""
  return {
    (line['step'], line['kind']): {
      name: value
      for name, value in line.items()
      if name not in ('kind', 'stage')
    }
    for line in logs.read(workdir / 'metrics.jsonl')
  }


def require_equal_logs(workdir, reference):
  values, expected = measured(workdir), measured(reference)
  assert list(values) == list(expected)
  for line in expected:
    assert values[line] == pytest.approx(expected[line], rel=1e-5, abs=1e-5)


@pytest.fixture(scope='module')
def alone(tmp_path_factory):
  """The folder of a run of one process."""
  workdir = tmp_path_factory.mktemp('alone')
  finish(workdir, 1)
  return workdir


def test_two_processes_train_as_one_does(alone, tmp_path):
  outputs = finish(tmp_path, 2)
  require_equal_logs(tmp_path, alone)
  # All have the state of the end, bit by bit, and the export of the first.
  assert len(digests(outputs)) == 1
  assert "'process': 0" in outputs[1]
  assert 'loss' not in outputs[1], 'only the first process reports'
  events = sorted(path.name for path in (tmp_path / 'toy').glob('events-*'))
  assert len(events) == 1
  assert json.loads((tmp_path / 'toy/DONE.json').read_text())['metrics'] == {
    'ended': 'cap',
    'process': 0,
  }


@pytest.mark.slow
def test_two_processes_give_the_bits_of_two_devices_of_one(tmp_path):
  flags = f'{os.environ.get("XLA_FLAGS", "")} {_TWO_DEVICES}'
  one = process_group.finish(
    process_group.start(
      [_PROGRAM, tmp_path / 'one'], 1, environment={'XLA_FLAGS': flags}
    )
  )
  assert one[0][0] == 0, one[0][2]
  two = finish(tmp_path / 'two', 2)
  assert len(digests([one[0][1], *two])) == 1
  logs_of_both = [
    (tmp_path / name / 'metrics.jsonl').read_bytes() for name in ('one', 'two')
  ]
  assert logs_of_both[0] == logs_of_both[1]


@pytest.mark.slow
def test_a_run_goes_on_with_other_numbers_of_processes(alone, tmp_path):
  begins = []
  for count, num_steps in ((2, 4), (1, 6), (4, 9), (2, 12)):
    outputs = finish(tmp_path, count, f'num_steps={num_steps}')
    begins.append(
      {re.search(r'begins at (\d+)', output)[1] for output in outputs}
    )
    if num_steps < 12:
      (tmp_path / 'toy/DONE.json').unlink()
  assert begins == [{'0'}, {'4'}, {'6'}, {'9'}]
  values, expected = measured(tmp_path), measured(alone)
  for line in expected:
    assert values[line] == pytest.approx(expected[line], rel=1e-5, abs=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize('victim', [0, 1])
def test_all_stop_where_one_is_killed_and_resume(alone, tmp_path, victim):
  started = start(tmp_path, 2, 'wait_at=6')
  for line in started[victim].stdout:
    if line == 'waits\n':
      break
  started[victim].kill()
  survivor = started[1 - victim]
  _, errors = survivor.communicate(timeout=60)
  started[victim].communicate()
  assert started[victim].returncode == -signal.SIGKILL
  assert survivor.returncode not in (0, -signal.SIGKILL)
  # Ours where a collective fails, and JAX's own where the heartbeat is first.
  assert (
    'another process of this run is gone' in errors
    or 'another task died' in errors
  ), errors
  outputs = finish(tmp_path, 2)
  assert {re.search(r'begins at (\d+)', output)[1] for output in outputs} == {
    '4'
  }
  require_equal_logs(tmp_path, alone)


@pytest.mark.slow
def test_an_error_of_one_process_ends_all(tmp_path):
  results = process_group.finish(start(tmp_path, 2, 'fail_at=6'), timeout=120)
  (first_code, _, first), (code, _, errors) = results
  assert code == 1
  assert errors.splitlines()[-1] == 'a mistake of process 1'
  assert first_code == 1
  assert re.match(
    r'process 0 of 2: another process of this run is gone, and its last line '
    r'says why \(.*\); start all processes again: the same commands resume$',
    first.splitlines()[-1],
  )


@pytest.mark.slow
@pytest.mark.parametrize(
  'differ, process, error',
  [
    (
      'folder',
      1,
      r'process 1 does not see the \S+/0 of process 0: give a work',
    ),
    (
      'data',
      0,
      "process 1 has another configuration of stage 'toy' than process 0: give "
      'all processes the same command, the same code and the same data$',
    ),
  ],
)
def test_processes_that_differ_are_refused(tmp_path, differ, process, error):
  results = process_group.finish(start(tmp_path, 2, f'differ={differ}'))
  assert [code for code, _, _ in results] == [1, 1]
  assert re.match(error, results[process][2].splitlines()[-1])
  assert not (tmp_path / 'toy').exists()


@pytest.mark.slow
def test_a_signal_to_one_process_stops_all_at_one_checkpoint(tmp_path):
  started = start(tmp_path, 2, 'num_steps=100000')
  for line in started[0].stdout:
    if line.startswith('toy 20/'):
      break
  started[1].send_signal(signal.SIGTERM)
  first, second = process_group.finish(started, timeout=120)
  assert (first[0], second[0]) == (0, 0), first[2] + second[2]
  stopped = r"stage 'toy' stopped at step (\d+) of 100000, all saved"
  steps = [re.search(stopped, out[2])[1] for out in (first, second)]
  assert steps[0] == steps[1]
  assert (tmp_path / 'toy/ckpt' / steps[0]).is_dir()
  assert 'SIGTERM: ' in second[2]
  assert 'another process: ' in first[2]


@pytest.mark.parametrize(
  'arguments, error',
  [
    (('localhost:1', None, 0), 'give --coordinator=HOST:PORT, --processes and'),
    (('localhost:1', 'auto', None), 'or --processes=auto alone'),
    ((None, 2, 0), 'give --coordinator=HOST:PORT, --processes and --process'),
    (('localhost', 2, 0), '--coordinator=localhost: give HOST:PORT'),
    (('localhost:1', 2, 2), '--process=2 of --processes=2: give 0 to 1'),
    (('localhost:1', 2, -1), '--process=-1 of --processes=2: give 0 to 1'),
  ],
)
def test_what_cannot_be_joined_is_refused(arguments, error):
  with pytest.raises(ValueError, match=re.escape(error)):
    processes.start(*arguments)


def test_a_cluster_that_is_none_is_refused(tmp_path):
  command = ['-m', 'palmjax.main', '--config=ssl', '--processes=auto']
  [(code, _, errors)] = process_group.finish(
    process_group.start([*command, f'--workdir={tmp_path}'], 1)
  )
  assert code == 1
  assert errors.splitlines()[-1].startswith(
    'palmjax: cannot join the processes of this run (coordinator_address '
    'should be defined.): start all processes together'
  )


def test_a_heartbeat_of_no_time_is_refused():
  with pytest.raises(ValueError, match=r'^--heartbeat=0: give 1 second or'):
    processes.start('localhost:1', 2, 0, heartbeat=0)


@pytest.mark.parametrize(
  'variables',
  [
    {},
    # A batch script of SLURM, and one task of `srun`.
    {'SLURM_NTASKS': '2', 'SLURM_PROCID': '0'},
    {'SLURM_NTASKS': '1', 'SLURM_STEP_NODELIST': 'localhost'},
    {'OMPI_COMM_WORLD_SIZE': '1'},
    {'TPU_WORKER_HOSTNAMES': 'one'},
  ],
)
def test_a_process_alone_joins_nothing(monkeypatch, variables):
  for name, value in variables.items():
    monkeypatch.setenv(name, value)
  assert processes.start() is False
  processes.end(1)  # Returns: there is nobody to leave.


def test_an_error_of_a_process_alone_stays_as_it_is():
  with (
    pytest.raises(ValueError, match=r'^gloo$'),
    processes.named_losses(),
  ):
    raise ValueError('gloo')

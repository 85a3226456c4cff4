"""Runs in processes that are killed end with the same bits."""

import os
import pathlib
import random
import signal
import subprocess
import sys
import time

import pytest

HERE = pathlib.Path(__file__).parent


def start_toy(workdir, *options):
  paths = [str(HERE.parents[1]), os.environ.get('PYTHONPATH', '')]
  return subprocess.Popen(
    [sys.executable, str(HERE / 'toy_run.py'), str(workdir), *options],
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
    env={
      **os.environ,
      'PYTHONPATH': os.pathsep.join(filter(None, paths)),
      'JAX_PLATFORMS': 'cpu',
    },
  )


def finish_toy(workdir, *options):
  process = start_toy(workdir, *options)
  out, err = process.communicate(timeout=120)
  return process.returncode, out, err


@pytest.fixture(scope='module')
def undisturbed(tmp_path_factory):
  workdir = tmp_path_factory.mktemp('undisturbed')
  code, out, err = finish_toy(workdir)
  assert code == 0, err
  return workdir, out.splitlines()[-1]


@pytest.mark.slow
def test_killed_runs_end_with_the_same_bits(undisturbed, tmp_path):
  # One workdir, killed before the first checkpoint, between two, while one is
  # being written, and at a moment of the clock's choice.
  for option, possible in (
    ('die_at=7', [None]),
    # Step 30 is written while the steps go on.
    ('die_at=34', [20, 30]),
    ('die_in_save=40', [30]),
  ):
    code, _, err = finish_toy(tmp_path, option)
    assert code == -signal.SIGKILL, err
    steps = [p.name for p in (tmp_path / 'toy/ckpt').iterdir()]
    whole = [int(name) for name in steps if name.isdecimal()]
    assert max(whole, default=None) in possible
    if option == 'die_in_save=40':
      assert any(name.startswith('40.') for name in steps)
  process = start_toy(tmp_path)
  time.sleep(random.SystemRandom().uniform(0.5, 3.0))
  process.kill()
  process.communicate()
  code, out, err = finish_toy(tmp_path)
  assert code == 0, err

  reference, digest = undisturbed
  assert out.splitlines()[-1] == digest
  metrics = (tmp_path / 'metrics.jsonl').read_bytes()
  assert metrics == (reference / 'metrics.jsonl').read_bytes()
  steps = sorted(p.name for p in (tmp_path / 'toy/ckpt').iterdir())
  assert steps == ['50', '60']


def test_a_write_that_fails_is_one_line_and_keeps_the_last(tmp_path):
  code, _, err = finish_toy(tmp_path, 'file_limit=100000')
  assert code != 0
  last = err.splitlines()[-1]
  assert last.startswith('OSError: cannot write checkpoint 30 to ')
  assert 'checkpoint 20 is intact' in last
  assert 'MB, ' in last
  assert 'File too large' in last
  # No thread and no destructor has anything to add.
  assert 'Exception ignored' not in err
  assert 'Exception in thread' not in err
  steps = sorted(p.name for p in (tmp_path / 'toy/ckpt').iterdir())
  assert steps == ['10', '20']


@pytest.mark.slow
@pytest.mark.parametrize(
  'rule, start, line',
  [
    # By hand, from the undisturbed run without a rule: see `toy_run.scripted`.
    ('plateau', 'toy 40/60  converged', '40 converged'),
    ('threshold', 'toy 40/60  threshold', '40 threshold'),
  ],
)
def test_killed_runs_end_at_the_same_step_for_the_same_reason(
  tmp_path, rule, start, line
):
  """SIGKILL before, in and after what the rule counts; then to the end."""
  for option in ('die_at=23', 'die_in_save=30', 'die_at=39'):
    code, _, err = finish_toy(tmp_path / 'killed', f'rule={rule}', option)
    assert code == -signal.SIGKILL, err
  results = []
  for name in ('killed', 'whole'):
    code, out, err = finish_toy(tmp_path / name, f'rule={rule}')
    assert code == 0, err
    assert start in out
    assert out.splitlines()[-1].endswith(line)
    results.append(out.splitlines()[-1])
    steps = sorted(p.name for p in (tmp_path / name / 'toy/ckpt').iterdir())
    assert steps[-1] == '40'
  assert results[0] == results[1]
  killed, whole = (
    tmp_path / name / 'metrics.jsonl' for name in ('killed', 'whole')
  )
  assert killed.read_bytes() == whole.read_bytes()

"""A workdir belongs to one config and one process; an unused one goes."""

import os
import pathlib
import subprocess
import sys

import pytest

from palmjax.engine import run_folder


def test_a_workdir_of_another_recipe_is_named_as_such(tmp_path):
  run_folder.keep_config(tmp_path, {'recipe': 'metric', 'loss': {'margin': 1}})
  with pytest.raises(ValueError, match='of the recipe metric: use another'):
    run_folder.take(tmp_path, {'recipe': 'ssl', 'gan': {'steps': 3}})


def test_workdir_belongs_to_one_config(tmp_path):
  workdir = tmp_path / 'a/b'
  config = {'seed': 0, 'gan': {'steps': (1, 2)}}
  # Taken, and found unsound: the corrected config may use the same workdir.
  run_folder.take(workdir, config | {'seed': 5})
  run_folder.take(workdir, config)
  run_folder.keep_config(workdir, config)
  run_folder.take(workdir, {'gan': {'steps': [1, 2]}, 'seed': 0})
  with pytest.raises(ValueError, match=r'gan.steps = .*, seed = 0 there') as e:
    run_folder.take(workdir, {'seed': 1, 'gan': {'steps': [1, 3]}})
  assert '\n' not in str(e.value)
  # A trace changes no result.
  run_folder.take(workdir, config | {'profile': '2:3'})
  (workdir / 'config.json').write_text('{"seed"')
  with pytest.raises(ValueError, match=r'config.json is not JSON .* delete it'):
    run_folder.take(workdir, {'seed': 0})


def test_a_workdir_in_which_nothing_was_begun_goes(tmp_path):
  (tmp_path / 'before').mkdir()
  for name in ('runs/a', 'before', 'before/b'):
    run_folder.take(tmp_path / name, {})
    assert (tmp_path / name / '.lock').exists()
    run_folder.drop_unused(tmp_path / name)
    assert [path.name for path in tmp_path.rglob('*')] == ['before']
  # It can be taken again, and given up twice.
  run_folder.take(tmp_path / 'runs/a', {})
  run_folder.take(tmp_path / 'runs/b', {})
  run_folder.drop_unused(tmp_path / 'runs/a')
  run_folder.drop_unused(tmp_path / 'runs/a')
  assert [path.name for path in (tmp_path / 'runs').iterdir()] == ['b']


def test_a_workdir_that_holds_something_stays(tmp_path):
  for name, taken in (('taken', True), ('strange', False)):
    workdir = tmp_path / name
    workdir.mkdir()
    if taken:
      run_folder.take(workdir, {})
      run_folder.keep_config(workdir, {})
    else:
      (workdir / '.lock').touch()
    before = sorted(workdir.iterdir())
    run_folder.drop_unused(workdir)
    assert sorted(workdir.iterdir()) == before


def test_a_second_process_is_refused_until_the_first_dies(tmp_path):
  script = (
    'import sys; from palmjax.engine import run_folder; '
    'run_folder.take(sys.argv[1], {}); print("in", flush=True); '
    'sys.stdin.read()'
  )
  process = subprocess.Popen(
    [sys.executable, '-c', script, str(tmp_path)],
    stdin=subprocess.PIPE,
    stdout=subprocess.PIPE,
    env={
      **os.environ,
      'PYTHONPATH': str(pathlib.Path(__file__).parents[2]),
    },
  )
  try:
    assert process.stdout.readline() == b'in\n'
    with pytest.raises(ValueError, match='another process is at work in'):
      run_folder.take(tmp_path, {})
  finally:
    process.kill()
    process.communicate()
  run_folder.take(tmp_path, {})

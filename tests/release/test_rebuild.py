"""The commands of the shipped weights, made to run."""

import importlib.util
import pathlib
import re
import sys
import types

import pytest

from configs import gesture, metric
from release import rebuild


@pytest.fixture
def run(monkeypatch):
  """Runs the command line; returns the commands that it ran."""

  def run(*arguments, failing=None):
    done = []

    def one(command, check):
      assert not check
      done.append(command)
      for word in command:
        if word.startswith('--data_dir='):
          name = word.partition('=')[2] + '/drawn_palms/8x2/1.0.0'
          pathlib.Path(name).mkdir(parents=True)
          (pathlib.Path(name) / 'dataset_info.json').touch()
      return types.SimpleNamespace(returncode=3 * (len(done) == failing))

    monkeypatch.setattr(rebuild.subprocess, 'run', one)
    rebuild.main(list(arguments))
    return done

  return run


def test_the_detector(run, tmp_path):
  first, second, pack = run(
    '--weights=hand_detector', '--boxes=/boxes', f'--workdir={tmp_path}'
  )
  assert first[:4] == [
    *(sys.executable, '-m', 'palmjax.main'),
    '--config=configs/gesture.py:weights',
  ]
  assert '--config.data.dir=/boxes' in first
  assert first[-1] == f'--workdir={tmp_path}/start'
  start = f'{tmp_path}/start/student_alone/export'
  assert f'--config.train.start={start}' in second
  assert f'--run={tmp_path}/run' in pack
  # Nothing of the package is replaced.
  assert f'--out={tmp_path}/weights/hand_detector' in pack
  assert '--boxes=/boxes' in pack
  assert any(' training part of ' in word for word in pack)


def test_the_network_and_what_it_went_on_from(run, tmp_path):
  done = run('--weights=mobilefacenet', f'--workdir={tmp_path}')
  assert [command[2] for command in done] == 2 * [
    'palmjax.prepare',
    'palmjax.main',
    'release.palm_weights',
  ]
  *_, pack_first, _, train, pack = done
  assert f'--out={tmp_path}/start/weights/mobilefacenet' in pack_first
  packed = f'{tmp_path}/start/weights/mobilefacenet'
  assert f'--config.cnn.start={packed}' in train
  # The folder of the set, which the command before it has drawn.
  drawn = f'{tmp_path}/sets/drawn_palms/8x2/1.0.0'
  assert f'--config.data.dir={drawn}' in train
  assert f'--out={tmp_path}/weights/mobilefacenet' in pack


@pytest.mark.parametrize(
  'weights, config, boxes',
  [
    ('frame_reader', gesture, ['--boxes=/boxes']),
    ('hand_detector', gesture, ['--boxes=/boxes']),
    ('mobilefacenet', metric, []),
  ],
)
def test_their_settings_are_still_known(run, tmp_path, weights, config, boxes):
  """And no placeholder is left."""
  known = config.get_config('weights')
  done = run(f'--weights={weights}', f'--workdir={tmp_path}', *boxes)
  assert len(done) >= 3
  for command in done:
    assert importlib.util.find_spec(command[2]) is not None
    for word in command:
      assert not re.search('[{}]', word)
      if match := re.match(r'--config\.([\w.]+)=(.*)', word):
        value = known
        for key in match[1].split('.'):
          value = value[key]
        type(value)(match[2])


def test_a_command_that_fails_ends_it(run, tmp_path):
  with pytest.raises(SystemExit, match='stopped with exit code 3'):
    run('--weights=mobilefacenet', f'--workdir={tmp_path}', failing=2)


def test_it_is_stopped_by_hand(monkeypatch, tmp_path):
  def stop(command, check):
    raise KeyboardInterrupt

  monkeypatch.setattr(rebuild.subprocess, 'run', stop)
  with pytest.raises(SystemExit, match='the same command goes on from here'):
    rebuild.main(['--weights=mobilefacenet', f'--workdir={tmp_path}'])


def test_a_dry_run_runs_nothing(run, capsys, tmp_path):
  arguments = '--weights=mobilefacenet', f'--workdir={tmp_path}', '--dry_run'
  assert run(*arguments) == []
  assert capsys.readouterr().out.count('+ ') == 6
  assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize(
  'arguments, message',
  [
    (['hand_detector'], 'hand_detector needs --boxes=DIR'),
    (['mobilefacenet', '--boxes=/boxes'], 'leave out --boxes'),
  ],
)
def test_boxes_are_of_the_detector(run, capsys, arguments, message):
  name, *others = arguments
  with pytest.raises(SystemExit):
    run(f'--weights={name}', '--workdir=x', *others)
  assert message in capsys.readouterr().err


def test_two_sets_in_one_folder(run, tmp_path):
  other = tmp_path / 'start/sets/drawn_palms/9x9/1.0.0'
  other.mkdir(parents=True)
  (other / 'dataset_info.json').touch()
  with pytest.raises(SystemExit, match='holds 2 sets; keep one of them'):
    run('--weights=mobilefacenet', f'--workdir={tmp_path}')

"""The commands that the shipped weights' READMEs keep, made to run."""

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
  assert first[-1] == f'--workdir={tmp_path}/START'
  start = f'{tmp_path}/START/student_alone/export'
  assert f'--config.train.start={start}' in second
  assert f'--run={tmp_path}/RUN' in pack
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
  assert pack[-1] == f'--out={tmp_path}/weights/mobilefacenet'


@pytest.mark.parametrize(
  'weights, config, boxes',
  [('hand_detector', gesture, '/boxes'), ('mobilefacenet', metric, None)],
)
def test_their_settings_are_still_known(tmp_path, weights, config, boxes):
  """And no word is left that stands for a path."""
  known = config.get_config('weights')
  for command in rebuild.commands(
    rebuild._SHIPPED / weights, tmp_path, boxes=boxes
  ):
    for word in command:
      assert not re.search(r'=(BOXES|DIR|RUN|SET|START)', word)
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
  'arguments', [['hand_detector'], ['mobilefacenet', '--boxes=/boxes']]
)
def test_boxes_are_of_the_detector(run, capsys, arguments):
  name, *others = arguments
  with pytest.raises(SystemExit):
    run(f'--weights={name}', '--workdir=x', *others)
  assert 'give --boxes=DIR with hand_detector' in capsys.readouterr().err

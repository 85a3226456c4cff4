"""Arguments that detect refuses, and the program without a network."""

import pathlib
import subprocess
import sys

import pytest
from PIL import Image

from palmjax import detect
from tests import painted_photos


@pytest.mark.parametrize(
  'arguments, message',
  [
    (['a.png'], '--out'),
    (['--out=o'], 'IMAGE'),
    (['a.png', '--out=o', '--score=0'], '--score=0.0: give a number'),
    (['a.png', '--out=o', '--looks=4'], '--looks'),
    (['a.png', '--out=o', '--size=4'], '--size=4: give 8 to 2048'),
  ],
)
def test_wrong_command_line(capsys, arguments, message):
  with pytest.raises(SystemExit) as stop:
    detect.main(arguments)
  assert stop.value.code == 2
  assert message in capsys.readouterr().err


def test_another_reader_of_palm_frames_is_asked_for_by_name(tmp_path, capsys):
  arguments = ['none.jpg', f'--out={tmp_path}', f'--palm-frame={tmp_path}/none']
  assert detect.main(arguments) == 1
  assert f'{tmp_path}/none: there is no such folder' in capsys.readouterr().err


def test_as_a_program_without_a_network(tmp_path):
  photo = tmp_path / 'a.png'
  Image.fromarray(painted_photos.paint(painted_photos.PALM)).save(photo)
  process = subprocess.run(
    [
      *(sys.executable, '-m', 'palmjax.detect', photo),
      *(f'--out={tmp_path}/out', f'--export={tmp_path}'),
    ],
    cwd=pathlib.Path(__file__).parents[1],
    capture_output=True,
    text=True,
  )
  assert (process.returncode, process.stdout) == (1, '')
  assert process.stderr.startswith('palmjax: ')
  assert 'model.json is missing' in process.stderr
  assert process.stderr.count('\n') == 1
  assert not (tmp_path / 'out').exists()

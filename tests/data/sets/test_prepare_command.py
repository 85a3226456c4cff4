"""The command that prepares sets."""

import inspect
import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from palmjax import prepare
from palmjax.data.palms import palms
from palmjax.data.sets import folder, prepared

_ROOT = pathlib.Path(__file__).parents[3]


def test_help_and_arguments_that_nobody_reads(capsys):
  for arguments, code in (['--help'], 0), (['--dataset=iitd', 'more'], 2):
    with pytest.raises(SystemExit) as stop:
      prepare.main([*arguments, '--data_dir=x'])
    assert stop.value.code == code
  text = capsys.readouterr()
  assert '--dataset=tongji --source=DIR' in text.out
  assert 'xjtu_up' in text.out
  assert text.err == 'palmjax: unrecognized arguments: more\n'


def test_a_source_is_for_real_sets(tmp_path, capsys):
  arguments = ['--dataset=drawn_palms', '--source=x', f'--data_dir={tmp_path}']
  assert prepare.main(arguments) == 1
  error = capsys.readouterr().err
  assert error.startswith('palmjax: --source is for real sets; drawn_palms')
  assert error.count('\n') == 1


def test_command_line_never_imports_tensorflow(tmp_path):
  # A tensorflow that cannot be imported comes first on the path.
  trap = tmp_path / 'trap' / 'tensorflow'
  trap.mkdir(parents=True)
  (trap / '__init__.py').write_text('raise RuntimeError("tensorflow imported")')
  result = subprocess.run(
    [
      sys.executable,
      pathlib.Path(__file__).with_name('prepare_program.py'),
      '--dataset=drawn_palms',
      '--identities=4',
      '--samples=3',
      '--size=16',
      f'--images={tmp_path}/files',
      f'--data_dir={tmp_path}/sets',
    ],
    cwd=_ROOT,
    env={**os.environ, 'PYTHONPATH': f'{trap.parent}:{_ROOT}'},
    capture_output=True,
    text=True,
    timeout=120,
    check=False,
  )
  assert result.returncode == 0, result.stderr
  lines = result.stdout.splitlines()
  assert json.loads(lines[-1]) == [0, 12, []]
  assert len(lines) == 3
  advice = next(line for line in lines if line.startswith('Train on them: '))
  assert '--config.data.name=drawn_palms' in advice
  assert '--config.image_size=16' in advice
  # Half of the 4 are tested, and each has 3 images.
  assert advice.endswith(
    '--config.labelled.identities=2 --config.labelled.images=3'
  )
  stored = prepared.load(tmp_path / 'sets', size=16)
  files = folder.read(tmp_path / 'files', size=16)
  assert files.ids == tuple(f'{name}.png' for name in stored.ids)
  np.testing.assert_array_equal(files.images, stored.images)
  np.testing.assert_array_equal(files.labels, stored.labels)


def test_no_line_trains_on_too_few(tmp_path, capsys, monkeypatch):
  monkeypatch.setattr(prepared, 'drawn', lambda *_, **__: 'SET')
  for numbers, words in (
    (('--identities=2', '--samples=8'), 'Too few to train on: '),
    (('--identities=8', '--samples=1'), 'Too few to train on: '),
    (('--identities=40', '--samples=8'), 'labelled.identities=20'),
    (('--identities=96', '--samples=8'), 'image_size=112'),
  ):
    arguments = ['--dataset=drawn_palms', f'--data_dir={tmp_path}', *numbers]
    assert prepare.main(arguments) == 0
    assert words in capsys.readouterr().out


def test_the_real_palms_take_these_arguments():
  # The tests above draw with a stand-in.
  inspect.signature(palms.draw_batch).bind(
    None, [0], [0], size=16, difficulty=0.5, sessions=[0], devices=[0]
  )

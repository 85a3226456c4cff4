"""What `pip install` brings, run from a folder that is not the checkout."""

import email
import os
import pathlib
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]


@pytest.fixture(scope='module')
def installed(tmp_path_factory):
  """The folder into which pip installed the wheel of this tree."""
  folder = tmp_path_factory.mktemp('wheel')
  source, target = folder / 'source', folder / 'target'
  for name in ('palmjax', 'configs'):
    ignored = shutil.ignore_patterns('__pycache__')
    shutil.copytree(ROOT / name, source / name, ignore=ignored)
  for name in ('pyproject.toml', 'README.md', 'LICENSE'):
    shutil.copy(ROOT / name, source / name)
  pip = [sys.executable, '-m', 'pip', '-q', '--disable-pip-version-check']
  built = subprocess.run(
    [*pip, 'wheel', '--no-deps', f'--wheel-dir={folder}', source],
    capture_output=True,
    text=True,
  )
  if 'No matching distribution found for setuptools' in built.stderr:
    pytest.skip('building a wheel downloads setuptools')
  assert built.returncode == 0, built.stderr
  (wheel,) = folder.glob('*.whl')
  subprocess.run(
    [*pip, 'install', '--no-deps', f'--target={target}', wheel], check=True
  )
  return target


def run(installed, folder, command, *arguments):
  """A finished console command, started in another folder."""
  return subprocess.run(
    [sys.executable, installed / 'bin' / command, *arguments],
    cwd=folder,
    env={**os.environ, 'PYTHONPATH': str(installed)},
    capture_output=True,
    text=True,
    timeout=120,
  )


@pytest.mark.slow
@pytest.mark.parametrize('config', ['ssl.py:smoke', 'ssl:smoke', 'configs/ssl'])
def test_shipped_configs_are_found_from_any_folder(installed, tmp_path, config):
  # Another package of this name must not come first.
  (tmp_path / 'configs').mkdir()
  (tmp_path / 'configs' / '__init__.py').touch()
  process = run(
    installed,
    tmp_path,
    'palmjax',
    f'--config={config}',
    '--workdir=run',
    '--config.num_devices=99',
  )
  assert process.returncode == 1
  assert '99 devices' in process.stderr.splitlines()[-1]


@pytest.mark.slow
@pytest.mark.parametrize(
  'name', ['', '-verify', '-calibrate', '-detect', '-prepare', '-convert']
)
def test_console_commands_know_their_names(installed, tmp_path, name):
  process = run(installed, tmp_path, f'palmjax{name}', '--help')
  assert process.returncode == 0, process.stderr
  assert f'usage: palmjax{name} ' in process.stdout


@pytest.mark.slow
def test_metadata(installed):
  (path,) = installed.glob('palmjax-*.dist-info/METADATA')
  metadata = email.message_from_string(path.read_text())
  assert metadata['Author'] == 'palmjax contributors'
  # None is known; a guess would lead elsewhere.
  assert metadata.get_all('Project-URL') is None

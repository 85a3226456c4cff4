"""The notebooks: what is committed of them, and that they run."""

import ast
import base64
import importlib.util
import json
import pathlib
import re
import subprocess

import pytest

FOLDER = pathlib.Path(__file__).parents[2] / 'launch' / 'colab'
NAMES = ('edge', 'robust', 'ssl', 'verify')
# How the cell begins that …
INSTALLS, TRAINS = 'import glob\n', 'import signal\n'


def _read(name):
  return json.loads((FOLDER / f'{name}.ipynb').read_text())


def _codes(book):
  return [cell for cell in book['cells'] if cell['cell_type'] == 'code']


def _source(cell):
  return ''.join(cell['source'])


def _cell(book, beginning):
  (cell,) = (x for x in _codes(book) if _source(x).startswith(beginning))
  return cell


def _printed(cell):
  return ''.join(''.join(output.get('text', '')) for output in cell['outputs'])


def test_these_are_all():
  assert {path.stem for path in FOLDER.glob('*.ipynb')} == {*NAMES}


@pytest.mark.parametrize('name', NAMES)
def test_committed_outputs(name):
  path = FOLDER / f'{name}.ipynb'
  assert path.stat().st_size <= 1_000_000
  codes = _codes(_read(name))
  # All cells were run, in their order, by one kernel.
  counts = [cell['execution_count'] for cell in codes]
  assert counts == [*range(1, len(codes) + 1)]
  outputs = [output for cell in codes for output in cell['outputs']]
  assert {'error'}.isdisjoint(output['output_type'] for output in outputs)
  assert {'stderr'}.isdisjoint(output.get('name') for output in outputs)
  text = json.dumps(outputs)
  assert not re.search(r'/(home|root|tmp|opt|work|usr|Users|mnt)/', text)
  assert not re.search(r'image.?s?/s\b|\bms\b', text)  # Of no one machine.


@pytest.mark.parametrize('name', NAMES)
def test_pictures_are_shown(name):
  pictures = [
    base64.b64decode(''.join(data))
    for cell in _codes(_read(name))
    for output in cell['outputs']
    for kind, data in output.get('data', {}).items()
    if kind in ('image/png', 'image/jpeg')
  ]
  assert len(pictures) >= (1 if name == 'edge' else 2)
  assert all(x.startswith((b'\x89PNG', b'\xff\xd8')) for x in pictures)


@pytest.mark.parametrize('name', NAMES)
def test_cells_are_python_and_short(name):
  book = _read(name)
  assert book['cells'][0]['cell_type'] == 'markdown'
  for cell in _codes(book):
    ast.parse(_source(cell))
    assert len(cell['source']) <= 40, _source(cell)


def test_the_first_cells_are_alike():
  """What is set, and the installation."""
  cells = [_source(_cell(_read(name), INSTALLS)) for name in NAMES]
  assert len({*cells}) == 1
  for name in NAMES:
    (parameters, install, *_) = map(_source, _codes(_read(name)))
    assert install == cells[0]
    assert "REPOSITORY = os.environ.get('" in parameters


@pytest.fixture
def install(monkeypatch):
  """Runs the cell on a machine of some devices; the commands of pip."""

  def run(repository, *, device='', gpu=False, there=False):
    commands = []
    with monkeypatch.context() as patched:
      patched.setattr(
        importlib.util, 'find_spec', lambda name: object() if there else None
      )
      patched.setattr('glob.glob', lambda pattern: _matches(pattern, device))
      patched.setattr('shutil.which', lambda name: name if gpu else None)
      patched.setattr(
        subprocess, 'run', lambda words, check: commands.append(words)
      )
      source = _source(_cell(_read('ssl'), INSTALLS))
      exec('import sys\n' + source, {'REPOSITORY': repository})
    return commands

  return run


def _matches(pattern, device):
  return [device] if pathlib.PurePath(device).match(pattern) else []


@pytest.mark.parametrize(
  'machine, wanted',
  [
    ({'device': '/dev/accel0'}, 'jax[tpu]'),
    ({'device': '/dev/vfio/0'}, 'jax[tpu]'),
    ({'device': '/dev/vfio/vfio', 'gpu': True}, 'jax[cuda12]'),
    ({'gpu': True}, 'jax[cuda12]'),
    ({}, 'jax'),
  ],
)
def test_jax_is_installed_for_the_runtime(install, machine, wanted):
  (command,) = install('https://example.org/palmjax.git', **machine)
  assert command[1:4] == ['-m', 'pip', 'install']
  assert command[-2:] == [
    'palmjax[edge] @ git+https://example.org/palmjax.git',
    wanted,
  ]


def test_nothing_is_installed_where_palmjax_is(install):
  assert install('', there=True) == []


def test_an_address_is_asked_for(install):
  with pytest.raises(ValueError, match='REPOSITORY is empty: give the git'):
    install('')


def test_an_unknown_notebook_is_refused(capsys):
  from launch.colab import __main__ as colab

  with pytest.raises(SystemExit):
    colab.main(['ssl', 'poetry'])
  error = capsys.readouterr().err
  assert "no notebook 'poetry': choose of edge, robust, ssl, verify" in error


@pytest.mark.slow
@pytest.mark.parametrize('name', NAMES)
def test_a_notebook_runs(name, tmp_path):
  from launch.colab import __main__ as colab

  book = colab.execute(FOLDER / f'{name}.ipynb', size='smoke', folder=tmp_path)
  # Its run was stopped, and then resumed.
  assert _printed(_cell(book, TRAINS)).splitlines()[-1] == 'stopped'
  (run,) = (tmp_path / 'runs').iterdir()
  assert (run / 'metrics.json').is_file()
  # It shows what is committed; numbers depend on machines.
  committed = _codes(_read(name))
  for mine, theirs in zip(_codes(book), committed, strict=True):
    kinds = [
      {output['output_type'] for output in cell['outputs']}
      for cell in (mine, theirs)
    ]
    assert kinds[0] == kinds[1], _source(mine)

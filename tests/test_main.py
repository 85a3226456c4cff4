"""The command line: a user's mistake ends in one line, not a traceback."""

import pathlib
import subprocess
import sys
import tomllib

import pytest

from palmjax import main, terminal

ROOT = pathlib.Path(__file__).parents[1]


_SSL = ['--config=ssl', '--workdir=W']
_PALMS = ['--config=robust', '--workdir=W', '--config.task=recognise']


@pytest.mark.parametrize(
  'arguments,message',
  [
    ([], 'give --config=configs/ssl.py and --workdir=runs/NAME'),
    (['--config=configs/ssl.py:smoke'], 'palmjax: give --workdir=runs/NAME'),
    (['--workdir=runs/1'], 'give --config=configs/ssl.py'),
    (['--config=configs/none.py', '--workdir=W'], 'none.py'),
    (
      ['--config=nothing', '--workdir=W'],
      'one of distill, gesture, metric, robust, ssl',
    ),
    (['--config=configs/ssl.py:huge', '--workdir=W'], 'huge'),
    (
      [*_SSL, '--config.gan.stepps=3'],
      '--config.gan.stepps: no such key; did you mean --config.gan.steps?',
    ),
    (
      ['--config=ssl:smok', '--workdir=W'],
      'configs/ssl.py:smok: no such variant; choose configs/ssl.py, configs/',
    ),
    (
      [*_SSL, '--config.gan.steps=many'],
      '--config.gan.steps=many: give a whole number',
    ),
    (
      [*_SSL, '--config.soft.weight', 'x'],
      '--config.soft.weight=x: give a number',
    ),
    (
      [*_SSL, '--config.soft.augment=perhaps'],
      '--config.soft.augment=perhaps: give True or False',
    ),
    ([*_SSL, '--config.seed.x=1'], '--config.seed.x: no such key'),
    ([*_SSL, '--config.cnn=1'], '--config.cnn: no such key'),
    (
      [*_SSL, '--cnn.steps=5'],
      '--cnn.steps: no such option; did you mean --config.cnn.steps?',
    ),
    (
      ['--config=ssl', '--workdir=gs://bucket/run'],
      '--workdir=gs://bucket/run: give a path; a bucket must be mounted',
    ),
    (
      [*_SSL, '--processes=two'],
      "give a whole number or 'auto', not 'two'",
    ),
    (
      [*_SSL, '--process=1'],
      'give --coordinator=HOST:PORT, --processes and --process together',
    ),
    ([*_SSL, '--nonsense'], '--nonsense: no such option'),
    ([*_SSL, '--work=W'], '--work: no such option; did you mean --workdir?'),
    ([*_SSL, 'config.cnn.steps=5'], 'config.cnn.steps=5 is no argument'),
    ([*_SSL, '--config.seed', '5', 'more'], 'more is no argument'),
    (
      ['--config=robust', '--workdir=W', '--config.recognise.fmr=0.01'],
      'recognise.fmr=0.01 is not read: leave it out, or give --config.task=',
    ),
    (
      [*_PALMS, '--config.perturb.vector=flat'],
      'perturb.vector=flat is not read: with --config.task=recognise give keys',
    ),
    ([*_PALMS, '--config.train.steps=5'], 'train.steps=5 is not read: with'),
    ([*_PALMS, '--config.loss.cells=1'], 'loss.cells=1 is not read: with'),
    (['--config=ssl', '--workdir='], 'argument --workdir: give a path'),
  ],
)
def test_wrong_arguments_end_in_one_line(
  tmp_path, monkeypatch, capsys, arguments, message
):
  monkeypatch.chdir(tmp_path)
  with pytest.raises(SystemExit) as stop:
    main.main(arguments)
  assert stop.value.code == 2
  (line,) = capsys.readouterr().err.splitlines()
  assert line.startswith('palmjax: ')
  assert message in line
  assert list(tmp_path.iterdir()) == []


def test_a_process_ends_in_one_line(palmjax_command, tmp_path):
  process = palmjax_command(
    '--config=configs/ssl.py:smoke',
    f'--workdir={tmp_path}/run',
    '--config.data.name=folder',
    '--config.data.dir=nowhere',
  )
  output, _ = process.communicate(timeout=120)
  lines = [line for line in output.splitlines() if line]
  assert process.returncode == 1, output
  assert lines[-1].startswith('palmjax: ')
  assert 'nowhere' in lines[-1]
  assert 'Traceback' not in output
  assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
  'change, message',
  [
    ('data.name=none', '--config.data.name=none: choose palms'),
    ('data.turn=45', '--config.data.turn=45'),
    ('cnn.steps=0', '--config.cnn.steps=0: give 1 or more'),
  ],
)
def test_a_refused_run_leaves_nothing(tmp_path, capsys, change, message):
  arguments = ['--config=ssl:smoke', f'--workdir={tmp_path}/runs/ssl']
  assert main.main([*arguments, f'--config.{change}']) == 1
  assert message in capsys.readouterr().err
  assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize('arguments', [['--version'], [*_SSL, '--version']])
def test_the_version_is_that_of_the_project(capsys, arguments):
  with pytest.raises(SystemExit) as stop:
    main.main(arguments)
  assert stop.value.code == 0
  project = tomllib.loads((ROOT / 'pyproject.toml').read_text())['project']
  assert capsys.readouterr().out == f'palmjax {project["version"]}\n'


def test_help_tells_recipes_variants_and_an_example(capsys):
  with pytest.raises(SystemExit) as stop:
    main.main(['--help'])
  assert stop.value.code == 0
  text = capsys.readouterr().out
  for word in (
    *('ssl:', 'metric:', 'gesture:', 'smoke', 'full', 'weights', 'backbones'),
    *('--config configs/ssl.py --workdir', '--config.KEY=VALUE', '--no-cache'),
  ):
    assert word in text


@pytest.fixture
def handed(monkeypatch):
  """What the recipe `ssl` is called with."""
  calls = []
  monkeypatch.setitem(main.RECIPES, 'ssl', lambda *call: calls.append(call))
  monkeypatch.setattr(terminal, 'start', lambda **_: None)
  return calls


def test_overrides_and_paths_reach_the_recipe(handed, monkeypatch):
  monkeypatch.setenv('HOME', '/home/user')
  arguments = ['--config', 'ssl:smoke', '--workdir=~/run']
  arguments += ['--config.gan.steps=7', '--config.seed', '3']
  arguments += ['--config.data.dir=~/palms']
  assert main.main(arguments) == 0
  ((config, workdir),) = handed
  assert workdir == '/home/user/run'
  assert config.data.dir == '/home/user/palms'
  assert (config.gan.steps, config.seed, config.cnn.steps) == (7, 3, 30)


@pytest.mark.parametrize(
  'error,code,message',
  [
    (ValueError('a\nb'), 1, 'palmjax: a b'),
    (OSError('c'), 1, 'palmjax: c'),
    (MemoryError(), 1, 'palmjax: out of memory; lower the batch sizes:'),
    (KeyboardInterrupt(), 130, 'palmjax: stopped; the same command resumes'),
  ],
)
def test_what_ends_a_run_is_told_in_one_line(
  handed, monkeypatch, capsys, error, code, message
):
  def fail(*_):
    raise error

  monkeypatch.setitem(main.RECIPES, 'ssl', fail)
  assert main.main(_SSL) == code
  assert capsys.readouterr().err.strip() == message


def test_optimise_reaches_the_compiler(tmp_path):
  # A process of its own: the option holds for all that JAX compiles.
  code = f"""
import jax
from palmjax import main
main.RECIPES['ssl'] = lambda *_: print(
  'off' if jax.config.values['jax_disable_most_optimizations'] else 'on'
)
for variant in ('', ':smoke'):
  main.main(['--config=configs/ssl.py' + variant, '--workdir={tmp_path}'])
"""
  process = subprocess.run(
    [sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True
  )
  assert process.stdout.split() == ['on', 'off'], process.stderr


@pytest.mark.parametrize(
  'recipe, key',
  [
    ('ssl', 'seed'),
    ('ssl', 'log_every'),
    ('metric', 'image_size'),
    ('metric', 'optimise'),
    ('gesture', 'stop.every'),
    ('gesture', 'palm_frame'),
    ('gesture', 'train.plateau.factor'),
  ],
)
def test_a_config_without_a_key_of_its_recipe(
  tmp_path, monkeypatch, capsys, recipe, key
):
  monkeypatch.chdir(tmp_path)
  *sections, name = key.split('.')
  (tmp_path / 'mine.py').write_text(
    f'from configs import {recipe}\n'
    'def get_config(arg="smoke"):\n'
    f'  config = {recipe}.get_config(arg)\n'
    f'  del config{"".join(f"[{one!r}]" for one in sections)}[{name!r}]\n'
    '  return config\n'
  )
  with pytest.raises(SystemExit) as stop:
    main.main(['--config=mine.py', f'--workdir={tmp_path}/run'])
  assert stop.value.code == 2
  (line,) = capsys.readouterr().err.splitlines()
  assert line.startswith(f'palmjax: mine.py lacks --config.{key}')
  assert f'as configs/{recipe}.py does' in line
  assert not (tmp_path / 'run').exists()


def test_a_config_with_a_value_in_place_of_a_section(
  tmp_path, monkeypatch, capsys
):
  monkeypatch.chdir(tmp_path)
  (tmp_path / 'mine.py').write_text(
    'from configs import ssl\n'
    'def get_config(arg="smoke"):\n'
    '  config = ssl.get_config(arg).to_dict()\n'
    '  config["stop"] = 5\n'
    '  import ml_collections\n'
    '  return ml_collections.ConfigDict(config)\n'
  )
  with pytest.raises(SystemExit):
    main.main(['--config=mine.py', f'--workdir={tmp_path}/run'])
  (line,) = capsys.readouterr().err.splitlines()
  assert 'mine.py lacks --config.stop.' in line

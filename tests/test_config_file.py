"""Configurations by path and by name; what is wrong with one, in one line."""

import sys

import pytest

from palmjax import config_file

NAMES = ['distill', 'gesture', 'metric', 'robust', 'ssl']


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
  """The current folder is empty, and what lies there is imported anew."""
  monkeypatch.chdir(tmp_path)
  yield tmp_path
  sys.modules.pop('beside', None)


@pytest.mark.parametrize('text', ['ssl', 'ssl.py', 'configs/ssl', './ssl.py'])
def test_shipped_configs_have_names(text):
  path, arguments = config_file.find(f'{text}:smoke')
  assert path == config_file.SHIPPED / 'ssl.py'
  assert arguments == ['smoke']
  assert config_file.find(text)[1] == []


def test_names_are_those_of_configurations():
  assert config_file.names() == [
    'distill',
    'gesture',
    'metric',
    'robust',
    'ssl',
  ]
  for name in config_file.names():
    assert f'--config configs/{name}.py' in config_file.docstring(name)


def test_a_path_comes_before_a_name(elsewhere, monkeypatch):
  (elsewhere / 'ssl.py').write_text('def get_config(arg="x"): return arg')
  assert config_file.read('ssl.py') == 'x'
  assert config_file.read('ssl.py:a:b') == 'a:b'
  assert config_file.read(f'{elsewhere}/ssl.py:y') == 'y'
  monkeypatch.setenv('HOME', str(elsewhere))
  assert config_file.read('~/ssl.py') == 'x'
  # A folder of this name is no configuration.
  (elsewhere / 'ssl').mkdir()
  assert config_file.read('ssl:smoke').recipe == 'ssl'


@pytest.mark.parametrize(
  'text', ['none.py', 'common', 'other/ssl.py', '/nowhere/configs/ssl.py', '']
)
def test_what_is_not_there_is_refused_with_the_names(text):
  with pytest.raises(
    ValueError, match=r'one of distill, gesture, metric, robust, ssl$'
  ):
    config_file.find(text)


@pytest.mark.parametrize(
  'source,message',
  [
    ('import nonesuch', 'line 1: ModuleNotFoundError: No module named'),
    ('x = 1\ndef get_config(:', 'line 2: invalid syntax'),
    ('\n1 / 0', 'line 2: ZeroDivisionError: division by zero'),
    ('int("x")', 'line 1: ValueError: invalid literal'),
    ('x = 1', 'has no function get_config'),
    ('def get_config(arg=""):\n  return none', 'line 2: NameError: name'),
    (
      'def get_config(arg=""):\n  raise ValueError("mine.py:x: no")',
      '^mine.py',
    ),
    ('def get_config(): return 1', 'TypeError: get_config'),
  ],
)
def test_an_error_in_a_file_is_one_line_with_its_place(
  elsewhere, source, message
):
  (elsewhere / 'mine.py').write_text(source)
  with pytest.raises(ValueError, match=message) as caught:
    config_file.read('mine.py:x')
  assert 'mine.py' in str(caught.value)
  assert '\n' not in str(caught.value)


def test_a_file_that_is_no_python_is_refused(elsewhere):
  (elsewhere / 'config.json').write_text('{}')
  with pytest.raises(ValueError, match=r'config\.json is no Python file'):
    config_file.read('config.json')


def test_files_may_import_what_lies_beside_them_and_the_shipped_ones(elsewhere):
  (elsewhere / 'beside.py').write_text('value = 7')
  (elsewhere / 'mine.py').write_text(
    'import beside\nfrom configs import common\n'
    'def get_config(arg=""):\n'
    '  config = common.get_config("ssl")\n'
    '  config.seed = beside.value\n'
    '  return config\n'
  )
  before = list(sys.path)
  assert config_file.read('mine.py').seed == 7
  assert sys.path == before


@pytest.mark.parametrize('variant', ['', ':smoke', ':table', ':palms'])
def test_values_of_the_file_itself_are_allowed(variant):
  config = config_file.read(f'robust{variant}')
  for task in ('detect', 'recognise'):
    config.task = task
    config_file.require_read(config, f'robust{variant}')


def test_what_is_not_read_is_refused_by_its_whole_name(elsewhere, monkeypatch):
  (elsewhere / 'mine.py').write_text(
    'import ml_collections\n'
    'def get_config(arg=""):\n'
    '  values = {"recipe": "mine", "part": {"key": 1, "key2": 1}}\n'
    '  return ml_collections.ConfigDict(values)\n'
    'def unread(config):\n'
    '  return {"part.key": "leave it out"}\n'
  )
  monkeypatch.setattr(config_file, 'SHIPPED', elsewhere)
  config = config_file.read('mine.py')
  config.part.key2 = 2
  config_file.require_read(config, 'mine.py')
  config.part.key = 2
  with pytest.raises(
    ValueError, match=r'part\.key=2 is not read: leave it out'
  ):
    config_file.require_read(config, 'mine.py')

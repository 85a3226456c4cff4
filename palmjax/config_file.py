"""Finds and loads configurations: files with get_config(arg).

`FILE` or `FILE:VARIANT`. FILE is a path, or the name of a configuration that
ships with palmjax: `ssl.py`, `ssl` and `configs/ssl.py` are one.
"""

import ast
import contextlib
import importlib.util
import pathlib
import re
import sys
import traceback

from absl import flags
from ml_collections import config_flags

from palmjax import terminal

# Beside the package, in the checkout as in an installation.
SHIPPED = pathlib.Path(__file__).parents[1] / 'configs'

# An option of the command line, with its value or without.
_OPTION = re.compile(r'--?([A-Za-z][^=\[]*)')
_KINDS = {
  bool: 'True or False',
  int: 'a whole number',
  float: 'a number',
  tuple: 'a tuple, e.g. "(1, 2)" or "(\'a\', \'b\')"',
}


def names():
  """Names of the shipped configurations, sorted."""
  return [path.stem for path in sorted(SHIPPED.glob('*.py')) if _tells(path)]


def docstring(name):
  """What a shipped configuration tells of itself: command, variants, sweeps."""
  return _tells(SHIPPED / f'{name}.py')


def _tells(path):
  """The docstring of a file with a get_config(arg) of its own, or None."""
  tree = ast.parse(path.read_text())
  for node in tree.body:
    # That of `common` takes a recipe's name and is no configuration.
    if isinstance(node, ast.FunctionDef) and node.name == 'get_config':
      return ast.get_docstring(tree) if node.args.defaults else None
  return None


def find(text):
  """Splits and finds FILE or FILE:VARIANT.

  Returns:
    (path of an existing file, list of no or one argument of get_config).

  Raises:
    ValueError: there is no such file, and no shipped one of this name.
  """
  typed, _, argument = text.partition(':')
  path = pathlib.Path(terminal.home(typed))
  if not path.is_file():
    name = path.name.removesuffix('.py')
    # Only where no other folder was typed: another one's file is not ours.
    if str(path.parent) in ('.', 'configs') and name in names():
      path = SHIPPED / f'{name}.py'
    else:
      raise ValueError(
        f'--config={text}: there is no file {typed}; give its path, or one of '
        f'{", ".join(names())}'
      )
  return path, [argument] if argument else []


def load(path):
  """Imports a configuration file.

  Args:
    path: of `find`.

  Returns:
    The module.

  Raises:
    ValueError: one line with the file, the line in it and the error.
  """
  spec = importlib.util.spec_from_file_location('palmjax_config', path)
  if spec is None:
    raise ValueError(f'{path} is no Python file: give one that ends in .py')
  module = importlib.util.module_from_spec(spec)
  sys.modules[spec.name] = module
  with _imports_beside(path), _in_one_line(path):
    spec.loader.exec_module(module)
  if not callable(getattr(module, 'get_config', None)):
    raise ValueError(f'{path} has no function get_config(arg)')
  return module


def read(text):
  """The ConfigDict of FILE or FILE:VARIANT.

  Raises:
    ValueError: no such file or variant, or an error in the file.
  """
  path, arguments = find(text)
  module = load(path)
  with _imports_beside(path), _in_one_line(path):
    return module.get_config(*arguments)


def override(config, arguments):
  """Returns the config with the values that --config.KEY=VALUE sets.

  Args:
    config: ConfigDict; it is changed.
    arguments: of the command line.

  Raises:
    ValueError: an unknown key, a value of another type, another argument.
  """
  keys = dict(_flat(config))
  for argument in arguments:
    if option := _OPTION.match(argument):
      _require_key(option[1], keys)
  values = flags.FlagValues()
  values.set_gnu_getopt(True)
  program = ['palmjax', *arguments]
  try:
    flag = config_flags.DEFINE_config_dict(
      'config', config, flag_values=values, sys_argv=program
    )
    _, *extra = values(program)
  except flags.IllegalFlagValueError as error:
    # 'flag --config.KEY=VALUE: the words of Python'.
    given = re.match(r'flag (--config\.([^=\[]+).*?=.*?): ', str(error), re.S)
    if given is None or given[2] not in keys:
      raise ValueError(_last_line(error)) from error
    kind = _KINDS.get(type(keys[given[2]]), 'another value')
    raise ValueError(f'{given[1]}: give {kind}') from error
  except (flags.Error, TypeError) as error:
    raise ValueError(_last_line(error)) from error
  if extra:
    raise ValueError(
      f'{extra[0]} is no argument: options begin with --, e.g. '
      '--config.cnn.steps=5'
    )
  return _at_home(flag.value)


def _require_key(name, keys):
  """Raises ValueError where an option sets no key of a config."""
  if name.removeprefix('config.') in keys and name.startswith('config.'):
    return
  known = [f'config.{key}' for key in keys]
  if name in keys:
    known = [f'config.{name}']
  known += ['config', 'workdir', 'no-cache', 'help']
  inside = name.startswith('config.')
  what = 'no such key' if inside else 'no such option'
  raise ValueError(f'--{name}: {what}{terminal.nearest(name, known)}')


def _last_line(error):
  """An error of a value itself arrives as a traceback in a message."""
  return str(error).strip().splitlines()[-1]


def _flat(config, prefix=''):
  """(dotted key, value) of all values."""
  for name, value in config.items():
    if hasattr(value, 'items'):
      yield from _flat(value, f'{prefix}{name}.')
    else:
      yield f'{prefix}{name}', value


def _at_home(config):
  """The config with the home folder in place of `~` in its paths."""
  with config.unlocked():
    for key, value in config.items():
      if hasattr(value, 'unlocked'):
        _at_home(value)
      elif isinstance(value, str):
        config[key] = terminal.home(value)
      elif isinstance(value, tuple):
        config[key] = tuple(
          terminal.home(one) if isinstance(one, str) else one for one in value
        )
  return config


def require_keys(config, text):
  """Refuses a configuration that lacks a key of its recipe.

  Args:
    config: ConfigDict whose `recipe` is the name of a shipped configuration.
    text: FILE or FILE:VARIANT that it was read from, for the error.

  Raises:
    ValueError: names the first key that is missing.
  """
  name = config.recipe
  # By its path: a file of the current folder may have this name.
  if missing := _missing(config, read(str(SHIPPED / f'{name}.py'))):
    raise ValueError(
      f'{text} lacks --config.{missing}: give the key a value there, as '
      f'configs/{name}.py does'
    )


def require_read(config, text):
  """Refuses a value that nothing would read.

  Args:
    config: ConfigDict whose `recipe` is the name of a shipped configuration.
      That file may have a function unread(config), which returns {dotted name
      of a key or section that is not read: what to do}.
    text: FILE or FILE:VARIANT that it was read from; values of it are allowed.

  Raises:
    ValueError: names the first such key.
  """
  module = load(SHIPPED / f'{config.recipe}.py')
  unread = module.unread(config) if hasattr(module, 'unread') else {}
  if not unread:
    return
  usual = dict(_flat(read(text)))
  for key, value in _flat(config):
    if value == usual.get(key):
      continue
    for name, advice in unread.items():
      if f'{key}.'.startswith(f'{name}.'):
        raise ValueError(f'--config.{key}={value} is not read: {advice}')


def _missing(config, usual):
  """The first dotted key of `usual` that `config` lacks, or ''."""
  for key, value in usual.items():
    if key not in config:
      return key
    if hasattr(value, 'items'):
      if not hasattr(config[key], 'items'):
        return f'{key}.{min(value.keys())}'
      if missing := _missing(config[key], value):
        return f'{key}.{missing}'
  return ''


@contextlib.contextmanager
def _imports_beside(path):
  """`from configs import common` finds the folder that `path` lies in."""
  root = path.resolve().parent
  while (root / '__init__.py').exists():
    root = root.parent
  before = list(sys.path)
  # The current folder may have another `configs`.
  sys.path[:] = [str(root), *before, str(SHIPPED.parent)]
  try:
    yield
  finally:
    sys.path[:] = before


@contextlib.contextmanager
def _in_one_line(path):
  """Raises ValueError with file and line for whatever the file raises."""
  try:
    yield
  except SyntaxError as error:
    raise ValueError(
      f'{error.filename}, line {error.lineno}: {error.msg}'
    ) from error
  except Exception as error:  # A configuration is a program of the user.
    if isinstance(error, ValueError) and path.name in str(error):
      raise  # get_config's own words about a variant.
    lines = [
      frame.lineno
      for frame in traceback.extract_tb(error.__traceback__)
      if pathlib.Path(frame.filename).resolve() == path.resolve()
    ]
    place = f'{path}, line {lines[-1]}' if lines else path
    raise ValueError(f'{place}: {type(error).__name__}: {error}') from error

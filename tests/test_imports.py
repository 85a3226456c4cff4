"""Who imports whom, what is private, and what must never be pulled in."""

import ast
import pathlib
import re
import subprocess
import sys
import tomllib

import pytest

ROOT = pathlib.Path(__file__).parents[1]


def test_import_contracts_of_pyproject():
  linter = pathlib.Path(sys.executable).with_name('lint-imports')
  result = subprocess.run(
    [linter, '--no-cache'], cwd=ROOT, capture_output=True, text=True
  )
  assert result.returncode == 0, result.stdout
  assert '0 broken' in result.stdout


def test_running_needs_no_tensorflow_and_no_test_package():
  code = (
    'import sys; import palmjax.main; import palmjax.prepare; '
    'print(sorted({"tensorflow", "torch", "clu", "pytest"} & set(sys.modules)))'
  )
  result = subprocess.run(
    [sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True
  )
  assert result.stdout.strip() == '[]', result.stderr


@pytest.mark.parametrize(
  'modules, needed',
  [
    ('palmjax.verify, palmjax.detect, palmjax.inference.verifier', []),
    ('palmjax.calibrate', ['matplotlib']),  # For its report.
  ],
)
def test_using_a_network_needs_no_training_system(modules, needed):
  heavy = {
    *('tensorflow_datasets', 'grain', 'orbax', 'tensorboardX', 'optax'),
    *('ml_collections', 'matplotlib', 'ott'),
  }
  code = (
    f'import sys; import {modules}; '
    f'print(sorted({heavy.difference(needed)} & set(sys.modules)))'
  )
  result = subprocess.run(
    [sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True
  )
  assert result.stdout.strip() == '[]', result.stderr


def imported(source):
  """Full names of all that a module imports: 'flax.linen', 'jax.numpy'."""
  names = set()
  for node in ast.walk(ast.parse(source)):
    if isinstance(node, ast.Import):
      names |= {alias.name for alias in node.names}
    elif isinstance(node, ast.ImportFrom):
      names |= {node.module}
      names |= {f'{node.module}.{alias.name}' for alias in node.names}
  return names


@pytest.mark.parametrize(
  'source',
  [
    'import flax.linen as nn',
    'from flax import linen',
    'from flax import (\n  core,\n  linen as nn,\n)',
    'from flax.linen import Module',
  ],
)
def test_every_way_to_import_linen_is_seen(source):
  assert 'flax.linen' in imported(source)


def test_flax_modules_live_in_models_only():
  offenders = [
    str(path.relative_to(ROOT))
    for path in (ROOT / 'palmjax').rglob('*.py')
    if path.parent.name != 'models'
    and 'flax.linen' in imported(path.read_text())
  ]
  assert offenders == []


# Named tuples have these, `os`, and what `jax.jit` returns: all may be read.
_PUBLIC = {'_asdict', '_fields', '_make', '_replace', '_cache_size', '_exit'}


def private_names(source):
  """What a module takes of others that begins with one underscore.

  Returns:
    [(line, text)], e.g. [(3, 'stage._files')], of names of imported modules,
    in text as in `setattr(stage, '_files', …)` too, and of attributes of
    values that are not `self`.
  """
  tree = ast.parse(source)
  statements = [
    node
    for node in ast.walk(tree)
    if isinstance(node, ast.Import | ast.ImportFrom)
  ]
  modules = {
    alias.asname or alias.name.partition('.')[0]
    for node in statements
    for alias in node.names
  }
  private = [
    (node.lineno, f'{node.module}.{alias.name}')
    for node in statements
    if isinstance(node, ast.ImportFrom)
    for alias in node.names
    if is_private(alias.name)
  ]
  for node in ast.walk(tree):
    match node:
      case ast.Attribute(value=owner, attr=name) if is_private(name):
        while isinstance(owner, ast.Attribute):
          owner = owner.value
        if not (isinstance(owner, ast.Name) and owner.id in ('self', 'cls')):
          private.append((node.lineno, ast.unparse(node)))
      case ast.Call(
        args=[ast.Name(id=owner), ast.Constant(value=str(name)), *_]
      ):
        if owner in modules and is_private(name):
          private.append((node.lineno, f'{owner}.{name}'))
  return private


def is_private(name):
  return (
    name.startswith('_') and not name.startswith('__') and name not in _PUBLIC
  )


@pytest.mark.parametrize(
  'source, expected',
  [
    ('from palmjax.engine import stage\nstage._take()', 'stage._take'),
    ('from palmjax.engine import stage as s\ns._a.b = 1', 's._a'),
    ('import palmjax.files\nx = palmjax.files._a', 'palmjax.files._a'),
    ('from palmjax.files import _write', 'palmjax.files._write'),
    ('from palmjax import _files', 'palmjax._files'),
    ('def f():\n  from palmjax import files\n  files._a', 'files._a'),
    ('def f(log):\n  log._a.b()', 'log._a'),
    ('a().b[0]._c', 'a().b[0]._c'),
    ('import files\ngetattr(files, "_a")', 'files._a'),
    ('import files\npatch.setattr(files, "_a", 1)', 'files._a'),
    ('f(a._replace(b=1), g._cache_size())', None),
    ('import files\nfiles.f("_a", x, "_b")', None),
    ('import os\nclass A:\n  def f(self):\n    self._b, os.__name__', None),
  ],
)
def test_every_way_to_take_a_private_name_is_seen(source, expected):
  assert [text for _, text in private_names(source)] == (
    [expected] * bool(expected)
  )


def test_no_module_takes_private_names_of_another():
  offenders = [
    f'{path.relative_to(ROOT)}:{line}: {text}'
    for folder in ('palmjax', 'release', 'launch', 'configs', 'tests')
    for path in sorted((ROOT / folder).rglob('*.py'))
    for line, text in private_names(path.read_text())
  ]
  assert offenders == []


def test_no_two_classes_have_one_name():
  names = [
    node.name
    for path in sorted((ROOT / 'palmjax').rglob('*.py'))
    for node in ast.walk(ast.parse(path.read_text()))
    if isinstance(node, ast.ClassDef)
  ]
  assert {name for name in names if names.count(name) > 1} == set()


def test_every_room_has_its_place():
  """In the contract, where it is exhaustive, and in architecture.md alike."""
  project = tomllib.loads((ROOT / 'pyproject.toml').read_text())
  layers, *_ = project['tool']['importlinter']['contracts']
  assert layers['exhaustive']
  contract = [sorted(re.findall(r'\w+', layer)) for layer in layers['layers']]
  text = (ROOT / 'docs/architecture.md').read_text()
  documented = [
    sorted(re.findall(r'`(\w+)`', line))
    for line in re.findall(r'^\d+\. (`\w+`(?:, `\w+`)*)$', text, re.M)
  ]
  assert documented == contract
  rooms = {
    path.stem
    for path in (ROOT / 'palmjax').iterdir()
    if path.suffix == '.py' or (path / '__init__.py').exists()
  }
  assert {name for layer in contract for name in layer} == rooms - {'__init__'}

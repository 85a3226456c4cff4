"""Who imports whom, and what the package must never pull in."""

import ast
import pathlib
import subprocess
import sys

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

"""The command line: a user's mistake ends in one line, not a traceback."""

import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]


@pytest.mark.parametrize(
  'arguments,message,code',
  [
    ([], 'give --config', 2),
    (['--config=configs/ssl.py:smoke'], 'give --config', 2),
    (['--config=configs/none.py', '--workdir=W'], 'none.py', 2),
    (['--config=configs/ssl.py:huge', '--workdir=W'], 'huge', 2),
    (
      ['--config=configs/ssl.py', '--workdir=W', '--config.gan.stepps=3'],
      'Did you mean "steps" instead of "stepps"?',
      2,
    ),
    (
      ['--config=configs/ssl.py', '--workdir=W', '--config.gan.steps=many'],
      'many',
      2,
    ),
    (['--config=configs/ssl.py', '--workdir=W', '--nonsense'], 'nonsense', 2),
    (
      [
        '--config=configs/ssl.py:smoke',
        '--workdir=W',
        '--config.data.name=folder',
        '--config.data.dir=nowhere',
      ],
      'nowhere',
      1,
    ),
  ],
)
def test_one_line_that_says_what_to_do(
  palmjax_command, tmp_path, arguments, message, code
):
  arguments = [a.replace('=W', f'={tmp_path}/run') for a in arguments]
  process = palmjax_command(*arguments)
  output, _ = process.communicate(timeout=120)
  lines = [line for line in output.splitlines() if line]
  assert process.returncode == code, output
  assert lines[-1].startswith('palmjax: ')
  assert message in lines[-1]
  assert 'Traceback' not in output


def test_optimise_reaches_the_compiler(tmp_path):
  # A process of its own: the module defines flags that others define too.
  code = f"""
import jax
from palmjax import main
main.RECIPES['ssl'] = lambda *_: print(
  'off' if jax.config.values['jax_disable_most_optimizations'] else 'on'
)
for variant in ('', ':smoke'):
  main.main(['', '--config=configs/ssl.py' + variant, '--workdir={tmp_path}'])
"""
  found = subprocess.run(
    [sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True
  )
  assert found.stdout.split() == ['on', 'off'], found.stderr

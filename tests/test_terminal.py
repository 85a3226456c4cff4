"""The edge of every command: what a user sees when something is wrong."""

import os
import pathlib
import subprocess
import sys

import jax
import pytest

from palmjax import terminal

ROOT = pathlib.Path(__file__).parents[1]


def python(code, stdout=subprocess.PIPE, **variables):
  """A finished process that ran `code` after `from palmjax import terminal`."""
  return subprocess.run(
    [sys.executable, '-c', f'import sys\nfrom palmjax import terminal\n{code}'],
    cwd=ROOT,
    env={**os.environ, **variables},
    stdout=stdout,
    stderr=subprocess.PIPE,
    text=True,
  )


def raising(error):
  """A command that raises."""

  @terminal.command
  def main(argv=None):
    raise error

  return main


@pytest.mark.parametrize(
  'error,code,message',
  [
    (ValueError('a\nb'), 1, 'palmjax: a b\n'),
    (OSError(28, 'No space left', 'x'), 1, 'palmjax: [Errno 28] No space left'),
    (ValueError(''), 1, 'palmjax: an error without words\n'),
    (MemoryError('x'), 1, 'palmjax: out of memory; lower the batch sizes: x\n'),
    (jax.errors.JaxRuntimeError('INTERNAL: x'), 1, 'palmjax: INTERNAL: x\n'),
    (jax.errors.JaxRuntimeError('RESOURCE_EXHAUSTED: x'), 1, 'out of memory'),
    (ValueError('caf\udce9.jpg'), 1, 'caf\\udce9.jpg\n'),
    (KeyboardInterrupt(), 130, 'palmjax: stopped\n'),
  ],
)
def test_errors_end_in_one_line(capsys, error, code, message):
  assert raising(error)() == code
  text = capsys.readouterr().err
  assert message in text
  assert text.count('\n') == 1


def test_mistakes_of_ours_keep_their_traceback():
  with pytest.raises(TypeError, match='ours'):
    raising(TypeError('ours'))()


_PIPE = '"$0" -c "$1" | head -1; exit ${PIPESTATUS[0]}'


def test_output_that_nobody_reads_ends_quietly():
  code = (
    'import sys; from palmjax import terminal\n'
    'def main(argv=None):\n'
    '  print("line\\n" * 100000)\n'
    'sys.exit(terminal.command(main)())'
  )
  done = subprocess.run(
    ['bash', '-c', _PIPE, sys.executable, code],
    cwd=ROOT,
    capture_output=True,
    text=True,
  )
  assert (done.stdout, done.stderr, done.returncode) == ('line\n', '', 141)


def test_a_full_disk_under_the_output_is_told():
  with open('/dev/full', 'w') as full:
    done = python(
      'sys.exit(terminal.command(lambda argv: print("line"))())',
      stdout=full,
      PYTHONUNBUFFERED='',
    )
  assert done.returncode == 1
  assert 'No space left on device' in done.stderr
  assert done.stderr.count('\n') == 1


def test_names_that_are_not_utf8_can_be_printed():
  done = python(
    'terminal.command(lambda argv: print("caf\\udce9"))()',
    PYTHONIOENCODING='utf-8:strict',
  )
  assert (done.stdout, done.stderr) == ('caf\\udce9\n', '')


@pytest.mark.parametrize('platform', ['cuda', 'nonsense'])
def test_devices_that_are_not_there_are_one_line(platform):
  done = python(
    'sys.exit(terminal.command(lambda argv: terminal.start(cache=False))())',
    JAX_PLATFORMS=platform,
  )
  assert done.returncode == 1
  last = done.stderr.splitlines()[-1]
  assert last.startswith(f'palmjax: JAX_PLATFORMS={platform} cannot be used on')
  assert 'give JAX_PLATFORMS=cpu' in last
  assert 'Traceback' not in done.stderr


def test_numbers_are_those_of_palmjax_whatever_the_environment():
  done = python(
    'import jax\n'
    'terminal.start(cache=False)\n'
    'print(jax.numpy.arange(3.0).dtype, jax.random.bits(jax.random.key(0)))',
    JAX_ENABLE_X64='1',
    JAX_DEFAULT_PRNG_IMPL='rbg',
  )
  bits = jax.random.bits(jax.random.key(0))
  assert done.stdout == f'float32 {bits}\n'
  assert done.stderr.startswith(
    'palmjax: JAX_ENABLE_X64, JAX_DEFAULT_PRNG_IMPL of the environment: not '
  )
  assert done.stderr.count('\n') == 1


def test_paths_as_typed(monkeypatch):
  monkeypatch.setenv('HOME', '/home/user')
  parser = terminal.Parser('none')
  parser.add_argument('--out', type=terminal.path)
  assert parser.parse_args(['--out=~/x']).out == '/home/user/x'
  assert parser.parse_args(['--out=a~/x']).out == 'a~/x'
  for arguments in (['--out='], ['--out', ' '], ['--ou=x'], ['x']):
    with pytest.raises(SystemExit) as stop:
      parser.parse_args(arguments)
    assert stop.value.code == 2


@pytest.mark.parametrize(
  'called,main,verify',
  [
    ('/usr/bin/palmjax-verify', 'palmjax --config', 'palmjax-verify A B'),
    ('verify.py', 'python -m palmjax.main --', 'python -m palmjax.verify A B'),
  ],
)
def test_commands_are_told_as_they_are_called(
  monkeypatch, capsys, called, main, verify
):
  monkeypatch.setattr(sys, 'argv', [called])
  text = 'python -m palmjax.main --config, python -m palmjax.verify A B'
  terminal.complain(text)
  terminal.Parser('verify', description=text).print_help()
  captured = capsys.readouterr()
  for part in (captured.err, captured.out):
    assert main in part
    assert verify in part
  assert captured.out.startswith(f'usage: {verify.removesuffix(" A B")} ')


@pytest.mark.parametrize(
  'argument,message',
  [
    ('--rate=abc', "argument --rate: give a number, not 'abc'"),
    ('--size=1.5', "argument --size: give a whole number, not '1.5'"),
    ('--photos=3', "--photos takes no value, not '3'"),
    ('--photo', 'unrecognized arguments: --photo; did you mean --photos?'),
    ('more', 'unrecognized arguments: more'),
  ],
)
def test_mistyped_arguments_are_told_in_words(capsys, argument, message):
  parser = terminal.Parser('none')
  parser.add_argument('--rate', type=float)
  parser.add_argument('--size', type=int)
  parser.add_argument('--photos', action='store_true')
  with pytest.raises(SystemExit) as stop:
    parser.parse_args([argument])
  assert stop.value.code == 2
  assert capsys.readouterr().err == f'palmjax: {message}\n'


def test_a_required_option_that_was_mistyped_is_named(capsys):
  parser = terminal.Parser('detect')
  parser.add_argument('--out', required=True)
  for argv in (['--outt', 'x'], ['--ouT=x']):
    with pytest.raises(SystemExit):
      parser.parse_args(argv)
    assert 'did you mean --out?' in capsys.readouterr().err
  with pytest.raises(SystemExit):
    parser.parse_args(['--zzz'])
  assert 'are required: --out' in capsys.readouterr().err

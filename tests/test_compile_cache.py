"""Where compiled programs are kept, and what must never stop a command."""

import os
import pathlib
import shutil
import subprocess
import sys
import types

import pytest

from palmjax import compile_cache

ROOT = pathlib.Path(__file__).parents[1]

_PROGRAM = """
import sys, jax, jax.numpy as jnp
from palmjax import compile_cache
hits = []
jax.monitoring.register_event_listener(lambda name, **_: hits.append(name))
compile_cache.start(use='--no-cache' not in sys.argv)
assert float(jax.jit(lambda x: jnp.sin(x) + 1)(0.0)) == 1.0
print(sum('cache_hits' in name for name in hits) > 0)
"""


def run(home, *arguments, **variables):
  """Compiles a program in a process of its own; whether it was found again."""
  environment = {
    name: value
    for name, value in os.environ.items()
    if not name.startswith(('JAX_', 'XDG_'))
  }
  done = subprocess.run(
    [sys.executable, '-c', _PROGRAM, *arguments],
    cwd=ROOT,
    env={**environment, 'HOME': str(home), **variables},
    capture_output=True,
    text=True,
  )
  assert done.returncode == 0, done.stderr
  assert done.stderr == ''
  return done.stdout == 'True\n'


def programs(folder):
  return sorted(folder.rglob('*-cache'))


def test_the_second_process_finds_what_the_first_compiled(tmp_path):
  assert not run(tmp_path)
  assert programs(tmp_path / '.cache' / 'palmjax')
  assert run(tmp_path)


def test_the_cache_folder_of_the_user_and_that_of_jax(tmp_path):
  home, xdg, jax_folder = (tmp_path / name for name in ('home', 'xdg', 'jax'))
  run(home, XDG_CACHE_HOME=str(xdg))
  assert programs(xdg / 'palmjax')
  run(home, XDG_CACHE_HOME='relative')  # The standard ignores it.
  assert programs(home / '.cache' / 'palmjax')
  before = programs(tmp_path)
  run(home, JAX_COMPILATION_CACHE_DIR=str(jax_folder))
  assert programs(jax_folder)
  assert set(programs(tmp_path)) == {*before, *programs(jax_folder)}


@pytest.mark.slow
def test_no_cache_reads_and_keeps_nothing(tmp_path):
  run(tmp_path, '--no-cache')
  run(tmp_path, '--no-cache', JAX_COMPILATION_CACHE_DIR=str(tmp_path / 'jax'))
  assert programs(tmp_path) == []
  run(tmp_path)
  assert not run(tmp_path, '--no-cache')


@pytest.mark.slow
def test_a_folder_that_cannot_be_made_stops_nothing(tmp_path):
  run(tmp_path, XDG_CACHE_HOME='/dev/null')
  run(tmp_path, JAX_COMPILATION_CACHE_DIR='/dev/null/x')


@pytest.mark.slow
def test_damaged_programs_stop_nothing(tmp_path):
  run(tmp_path)
  for path in programs(tmp_path):
    path.write_bytes(path.read_bytes()[:10])
  assert not run(tmp_path)
  for path in programs(tmp_path):
    path.write_bytes(b'')
  run(tmp_path)
  # Empty ones were cut off by a full disk: they are made again.
  assert run(tmp_path)


@pytest.fixture
def options(tmp_path, monkeypatch):
  """What JAX would be told, with the cache folder of the user in `tmp_path`."""
  options_set = {}
  config = types.SimpleNamespace(
    jax_compilation_cache_dir=None, update=options_set.__setitem__
  )
  stand_in = types.SimpleNamespace(config=config)
  monkeypatch.setattr(compile_cache, 'jax', stand_in)
  monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
  return options_set


def test_too_little_room_keeps_nothing(tmp_path, monkeypatch, options):
  usage = shutil.disk_usage(tmp_path)
  monkeypatch.setattr(shutil, 'disk_usage', lambda _: usage._replace(free=1000))
  assert compile_cache.start() is None
  assert 'jax_compilation_cache_dir' not in options


def test_programs_not_used_for_longest_go(tmp_path, options):
  other = tmp_path / 'palmjax' / 'another machine'
  other.mkdir(parents=True)
  for age, name in enumerate(['new-cache', 'read-cache', 'old-cache']):
    with (other / name).open('wb') as file:
      file.truncate(500 * 2**20)  # Takes no room on the disk.
    os.utime(other / name, (1e9 - 100 * age, 1e9 - 100 * age))
  os.utime(other / 'read-cache', (2e9, 1e9 - 100))  # Read, not written.
  folder = compile_cache.start()
  assert options['jax_compilation_cache_dir'] == folder
  assert pathlib.Path(folder).parent == tmp_path / 'palmjax'
  assert sorted(path.name for path in other.iterdir()) == [
    'new-cache',
    'read-cache',
  ]

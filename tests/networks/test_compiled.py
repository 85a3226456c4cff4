"""Traced programs are kept, found again, and never trusted blindly."""

import jax
import numpy as np
import pytest

from palmjax.networks import compiled


@pytest.fixture
def cache(tmp_path, monkeypatch):
  """JAX keeps programs in an empty folder."""
  before = jax.config.jax_compilation_cache_dir
  jax.config.update('jax_compilation_cache_dir', str(tmp_path))
  yield tmp_path / 'traced'
  jax.config.update('jax_compilation_cache_dir', before)


def make(*identity, level=compiled.small):
  """(a program of x ↦ 2x + y, the shapes that it was traced for)."""
  traced = []

  def function(x, y):
    traced.append(x.shape)
    return {'result': 2 * x + y}

  return level(function, *identity), traced


X, Y = np.arange(4, dtype=np.float32), np.float32(0.5)


@pytest.mark.parametrize('level', [compiled.small, compiled.network])
def test_the_second_command_traces_nothing(cache, level):
  for count in (1, 0):
    program, traced = make('double', level=level)
    for _ in range(2):
      np.testing.assert_array_equal(program(X, Y)['result'], 2 * X + Y)
    assert len(traced) == count
  assert len(list(cache.iterdir())) == 1


def test_each_shape_is_a_program(cache):
  program, traced = make('double')
  program(X, Y)
  program(X[:2], Y)
  program(X.astype(np.int32), Y)
  assert traced == [(4,), (2,), (4,)]


def test_another_identity_is_another_program(cache):
  make('double', {'option': 1})[0](X, Y)
  program, traced = make('double', {'option': 2})
  program(X, Y)
  assert len(traced) == 1


@pytest.mark.parametrize('content', [b'', b'not a program', None])
def test_a_damaged_program_is_traced_anew(cache, content):
  make('double')[0](X, Y)
  (path,) = cache.iterdir()
  path.write_bytes(path.read_bytes()[:-40] if content is None else content)
  program, traced = make('double')
  np.testing.assert_array_equal(program(X, Y)['result'], 2 * X + Y)
  assert len(traced) == 1
  # And kept whole again.
  program, traced = make('double')
  program(X, Y)
  assert not traced


def test_a_folder_that_cannot_be_made_only_costs_time(cache):
  cache.write_text('a file in its place')
  program, traced = make('double')
  np.testing.assert_array_equal(program(X, Y)['result'], 2 * X + Y)
  assert len(traced) == 1


def test_without_a_cache_nothing_is_kept(cache):
  jax.config.update('jax_enable_compilation_cache', False)
  try:
    for _ in range(2):
      program, traced = make('double')
      program(X, Y)
      assert len(traced) == 1
    assert not cache.exists()
  finally:
    jax.config.update('jax_enable_compilation_cache', True)


@pytest.mark.parametrize('folder', ['', 'gs://bucket/folder'])
def test_what_is_no_folder_of_this_machine(folder, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  program, _ = make('double')
  # JAX itself would ask for the bucket.
  jitted = jax.jit
  before = jax.config.jax_compilation_cache_dir

  def jit(*arguments, **options):
    jax.config.update('jax_compilation_cache_dir', before)
    return jitted(*arguments, **options)

  monkeypatch.setattr(jax, 'jit', jit)
  jax.config.update('jax_compilation_cache_dir', folder)
  try:
    np.testing.assert_array_equal(program(X, Y)['result'], 2 * X + Y)
  finally:
    jax.config.update('jax_compilation_cache_dir', before)
  assert not list(tmp_path.iterdir())

"""Many pictures by a program for one: threads, and blocks."""

import functools
import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from palmjax.data import draws
from palmjax.data.hands import hands
from palmjax.data.palms import palms

_program = jax.jit(lambda shared, rows: {'sum': rows['x'] * shared + rows['y']})
_ROWS = {'x': np.arange(24.0), 'y': np.ones(24)}


def _parts(cores, rows=_ROWS):
  """(result, number of rows of each call, names of the threads)."""
  counts, threads = [], set()

  def program(shared, rows):
    counts.append(len(rows['x']))
    threads.add(threading.current_thread().name)
    return _program(shared, rows)

  result = draws.on_all_cores(program, 2.0, rows, cores=cores)
  return result['sum'], sorted(counts), threads


@pytest.mark.parametrize(
  'cores, counts',
  [(1, [24]), (2, [12, 12]), (5, [6, 6, 6, 6]), (64, [4] * 6)],
)
def test_each_core_gets_an_equal_part(cores, counts):
  result, lengths, threads = _parts(cores)
  np.testing.assert_array_equal(result, 2 * _ROWS['x'] + 1)
  assert lengths == counts
  if cores > 1:
    assert threading.main_thread().name not in threads


def test_rows_that_do_not_divide_are_one_part():
  rows = {name: values[:23] for name, values in _ROWS.items()}
  result, counts, _ = _parts(4, rows)
  np.testing.assert_array_equal(result, 2 * rows['x'] + 1)
  assert counts == [23]


def test_nothing_is_split_while_it_is_traced():
  traced = jax.jit(lambda shared: _split(shared))
  np.testing.assert_array_equal(traced(2.0), 2 * _ROWS['x'] + 1)


def _split(shared):
  return draws.on_all_cores(_program, shared, _ROWS, cores=2)['sum']


def test_blocks_are_for_accelerators(monkeypatch):
  assert draws.block_size(32) == 1
  monkeypatch.setattr(jax, 'default_backend', lambda: 'gpu')
  assert draws.block_size(32) == 256
  # Larger pictures, fewer of them.
  assert draws.block_size(512) == 16
  assert draws.block_size(4096) == 1


@pytest.mark.parametrize('block', [1, 4, 5, 100])
def test_blocks_change_nothing(block):
  rows = jnp.arange(10.0), jnp.ones(10)
  mapped = draws.map_rows(lambda row: row[0] + row[1], rows, block=block)
  np.testing.assert_array_equal(mapped, jnp.arange(10.0) + 1)


def test_a_block_is_computed_at_once():
  def shapes(block):
    rows = jnp.arange(8.0)
    map_rows = functools.partial(draws.map_rows, jnp.sin, block=block)
    return str(jax.make_jaxpr(map_rows)(rows))

  assert 'f32[] = sin' in shapes(1)
  assert 'f32[4] = sin' in shapes(4)


@pytest.mark.slow
def test_pictures_of_a_block_are_those_drawn_one_by_one(monkeypatch):
  key, numbers = jax.random.key(3), np.arange(3)
  drawings = {
    'palms': lambda: palms.draw_batch(key, numbers, numbers, size=32),
    'hands': lambda: hands.draw_batch(key, numbers, size=32)['image'],
  }
  for name, draw in drawings.items():
    alone = np.asarray(draw()).astype(int)
    with monkeypatch.context() as patched:
      patched.setattr(draws, 'block_size', lambda size: 3)
      block = np.asarray(draw()).astype(int)
    assert np.abs(block - alone).max() <= 1, name
    assert alone.std() > 10, name

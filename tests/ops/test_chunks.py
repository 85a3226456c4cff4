"""Any number of rows, a few batch sizes."""

import jax
import numpy as np
import pytest

from palmjax.ops import chunks


@pytest.mark.parametrize(
  'count, batches',
  [
    (1, [1]),
    (2, [16]),
    (16, [16]),
    (17, [64]),
    (64, [64]),
    (65, [64, 64]),
    (130, [64, 64, 64]),
  ],
)
def test_batch_sizes_and_rows(count, batches):
  seen = []

  def function(rows):
    seen.append(len(rows))
    return {'double': 2 * rows, 'sums': (rows.sum(axis=1),)}

  rows = np.arange(3 * count).reshape(count, 3)
  got = chunks.apply(function, rows)
  assert seen == batches
  np.testing.assert_array_equal(got['double'], 2 * rows)
  np.testing.assert_array_equal(got['sums'][0], rows.sum(axis=1))


def test_what_fills_a_batch_up_is_the_last_row():
  seen = []
  chunks.apply(lambda rows: seen.append(rows) or rows, np.array([[1], [2]]))
  assert seen[0].ravel().tolist() == [1] + 15 * [2]


def test_arrays_of_the_device_come_back_as_numpy():
  got = chunks.apply(jax.jit(lambda rows: rows + 1), np.zeros((3, 2)))
  assert isinstance(got, np.ndarray)


def test_no_row():
  with pytest.raises(ValueError, match='no row to apply'):
    chunks.apply(lambda rows: rows, np.zeros((0, 2)))


@pytest.mark.parametrize('count', [1, 4, 5, 8])
def test_indices_of_one_size(count):
  groups = chunks.indices(count, 4)
  assert {len(index) for index in groups} == {4}
  joined = np.concatenate(groups)
  np.testing.assert_array_equal(joined[:count], np.arange(count))
  # Copies of the last row.
  assert set(joined[count:].tolist()) <= {count - 1}

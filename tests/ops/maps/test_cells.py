"""Cells, their neighbours, and what stands in them."""

import jax
import numpy as np

from palmjax.ops.maps import cells

spread = jax.jit(cells.spread, static_argnums=2)


def test_at_cells():
  values = np.random.default_rng(0).normal(size=(2, 3, 4, 5))
  got = jax.jit(cells.at_cells)(values, np.array([[0, 11], [7, 7]]))
  want = [
    [values[0, 0, 0], values[0, 2, 3]],
    [values[1, 1, 3], values[1, 1, 3]],
  ]
  np.testing.assert_allclose(got, want, rtol=1e-6)


def test_grid():
  got = jax.jit(cells.grid, static_argnums=0)((2, 3))
  want = [[[0, 0], [1, 0], [2, 0]], [[0, 1], [1, 1], [2, 1]]]
  np.testing.assert_array_equal(got, want)


def test_neighbours_are_nine_and_the_cell_comes_first():
  assert tuple(cells.STEPS[0]) == (0, 0)
  assert len({tuple(step) for step in cells.STEPS}) == 9
  assert np.abs(cells.STEPS).max() == 1


def test_spread_keeps_to_the_map():
  """Cells in a corner, in the middle, and one that is not present."""
  cell = np.float32([[[4.0, 2.0], [1.0, 1.0], [2.0, 2.0]]])
  present = np.array([[True, True, False]])
  index, kept = (np.asarray(x)[0] for x in spread(cell, present, (3, 5)))
  np.testing.assert_array_equal(index[:3], [2 * 5 + 4, 1 * 5 + 1, 0])
  corner, middle, nothing = kept.reshape(9, 3).T
  assert (corner.sum(), middle.sum(), nothing.sum()) == (4, 9, 0)
  rows, columns = np.divmod(index.reshape(9, 3)[corner, 0], 5)
  np.testing.assert_array_equal(np.unique(rows), [1, 2])
  np.testing.assert_array_equal(np.unique(columns), [3, 4])


def test_a_neighbour_that_is_a_cell_itself_is_left_to_it():
  cell = np.float32([[[4.0, 4.0], [5.0, 4.0], [4.0, 5.0]]])
  present = np.array([[True, True, False]])
  index, kept = (np.asarray(x)[0] for x in spread(cell, present, (16, 16)))
  rows = index.reshape(9, 3), kept.reshape(9, 3)
  for k, other in ((0, 1), (1, 0)):
    assert rows[1][0, k]
    taken = rows[0][rows[1][:, k], k]
    assert len(taken) == 8
    assert int(rows[0][0, other]) not in taken
  # What is not present takes nothing from them.
  assert 5 * 16 + 4 in rows[0][rows[1][:, 0], 0]


def test_a_place_stays_where_it_is_from_every_neighbour():
  cell = np.float32([[[4.0, 2.0], [7.0, 7.0]]])
  place = np.float32([[[0.25, 0.5], [-3.0, 12.0]]])
  index, _ = jax.device_get(spread(cell, np.ones((1, 2), bool), (16, 16)))
  # In float32: all numbers are halves and quarters.
  back = np.array(jax.jit(cells.seen_from_neighbours)(place)[0])
  back += np.stack([index[0] % 16, index[0] // 16], axis=-1)
  np.testing.assert_allclose(back.reshape(9, 2, 2) - (cell + place)[0], 0)

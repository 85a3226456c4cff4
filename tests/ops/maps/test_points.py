"""Points as maps of their own: targets, and which peak is which hand's."""

import jax
import numpy as np
import pytest

from palmjax.ops.maps import points as point_maps

SHAPE = (12, 16)


@jax.jit
def encode(points, boxes, reach, framed, unframed):
  return point_maps.encode(
    points, boxes, reach, framed=framed, unframed=unframed, shape=SHAPE
  )


refine = jax.jit(point_maps.refine)


@pytest.fixture(scope='module')
def targets():
  """A hand with points, one of them outside, and a hand without."""
  points = np.zeros((1, 2, 3, 2), np.float32)
  points[0, 0] = [[3.25, 4.5], [6.0, 4.75], [20.0, 9.0]]
  return jax.device_get(
    encode(
      points,
      np.array([[[2, 3, 8, 11], [9, 1, 14, 5]]], np.float32),
      np.array([[6.0, 2.0]], np.float32),
      np.array([[True, False]]),
      np.array([[False, True]]),
    )
  )


def test_blobs_stand_at_the_points(targets):
  heatmap = targets['point_heatmap'][0]
  want = np.zeros((*SHAPE, 3))
  # A third of the hand's radius.
  reach, sigma = 2, 5 / 6
  for kind, (x, y) in enumerate([(3, 4), (6, 4)]):
    for i, j in np.ndindex(*SHAPE):
      if max(abs(i - y), abs(j - x)) <= reach:
        square = (i - y) ** 2 + (j - x) ** 2
        want[i, j, kind] = np.exp(-square / (2 * sigma**2))
  np.testing.assert_allclose(heatmap, want, atol=1e-6)


def test_offsets_of_nine_cells_lead_to_the_point(targets):
  present = targets['point_present'][0]
  assert present.sum() == 18
  np.testing.assert_array_equal(np.flatnonzero(present) % 3 == 2, False)
  cells = targets['point_cells'][0][present]
  place = targets['point_offset'][0][present]
  place += np.stack([cells % SHAPE[1], cells // SHAPE[1]], axis=-1)
  np.testing.assert_allclose(
    np.unique(place, axis=0), [[3.25, 4.5], [6.0, 4.75]]
  )


def test_inside_a_hand_without_frame_nothing_is_known(targets):
  want = np.ones(SHAPE, bool)
  want[1:5, 9:14] = False
  np.testing.assert_array_equal(targets['point_known'][0], want)


def maps(peaks):
  """A fresh network's, but for {(row, column, kind): logit} and offsets."""
  values = np.full((1, *SHAPE, 9), -2.19, np.float32)
  values[..., 3:] = [0.25, 0.75] * 3
  for place, logit in peaks.items():
    values[(0, *place)] = logit
  return values


def test_each_hand_takes_the_peak_that_its_centre_points_at():
  said = np.zeros((1, 2, 3, 2), np.float32)
  said[0, 0] = [[3, 3], [5, 3], [4, 9]]
  said[0, 1] = [[11, 3], [13, 3], [12, 9]]
  size = np.full((1, 2, 2), 6.0, np.float32)
  got = refine(
    said, size, maps({(3, 4, 0): 2.0, (4, 11, 0): 3.0, (9, 12, 2): 5.0})
  )
  want = said.copy()
  want[0, 0, 0] = [4.25, 3.75]
  want[0, 1, 0] = [11.25, 4.75]
  # Of this kind there is one peak, far from the other hand's.
  want[0, 1, 2] = [12.25, 9.75]
  np.testing.assert_allclose(got, want)


def test_without_a_peak_the_centre_is_believed():
  said = np.random.default_rng(0).uniform(1, 11, (1, 3, 3, 2))
  size = np.full((1, 3, 2), 5.0, np.float32)
  got = refine(said.astype(np.float32), size, maps({}))
  np.testing.assert_allclose(got, said, rtol=1e-6)


def test_peaks_of_encoded_points_give_the_points_back(targets):
  """From a bad guess of the centre."""
  present = targets['point_present'][0]
  values = np.zeros((SHAPE[0] * SHAPE[1], 9), np.float32)
  values[:, :3] = 20 * (np.asarray(targets['point_heatmap']).reshape(-1, 3) - 1)
  for row in np.flatnonzero(present):
    kind = 3 + 2 * (row % 3)
    cell, offset = (targets[f'point_{n}'][0][row] for n in ('cells', 'offset'))
    values[cell, kind : kind + 2] = offset
  said = np.array([[[[4.5, 5.5], [7.5, 3.5], [9.0, 9.0]]]], np.float32)
  got = np.asarray(
    refine(said, np.full((1, 1, 2), 8.0), values.reshape(1, *SHAPE, 9))
  )
  np.testing.assert_allclose(got[0, 0, :2], [[3.25, 4.5], [6.0, 4.75]])
  np.testing.assert_allclose(got[0, 0, 2], said[0, 0, 2])

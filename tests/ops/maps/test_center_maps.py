"""Centre maps that are mirrored or resized, and peaks."""

import jax
import numpy as np
import pytest

from palmjax.ops.maps import centers as center_maps

decode = jax.jit(center_maps.decode, static_argnames=('stride', 'count'))
resize = jax.jit(center_maps.resize, static_argnums=1)


def logits(heatmap):
  with np.errstate(divide='ignore'):
    heatmap = np.asarray(heatmap, np.float64)
    return (np.log(heatmap) - np.log1p(-heatmap)).astype(np.float32)


def test_mirrored_twice_is_as_before():
  rng = np.random.default_rng(0)
  # Halves and quarters, which have no rounding.
  maps = {
    name: np.float32(rng.integers(-8, 8, (2, 3, 5, values)) / 4)
    for name, values in {'class': 3, **center_maps.VALUES}.items()
  }
  mirror = jax.jit(center_maps.mirror)
  once = jax.device_get(mirror(maps))
  again = mirror(once)
  for name, values in maps.items():
    np.testing.assert_array_equal(again[name], values)
    assert (once[name] != values).any()
  # Of the palm frame x alone, and not whether the palm is seen.
  flipped = maps['palm_frame'][:, :, ::-1]
  np.testing.assert_array_equal(
    once['palm_frame'][..., 1::2], flipped[..., 1::2]
  )
  np.testing.assert_array_equal(once['palm_frame'][..., 6], flipped[..., 6])
  np.testing.assert_array_equal(
    once['palm_frame'][..., :6:2], 1 - flipped[..., :6:2]
  )


def test_resized_maps_keep_places_and_sizes():
  """One place that all cells tell; more columns and fewer rows."""
  old, new = (4, 6), (3, 15)
  factor = np.array([2.5, 0.75])
  rows, columns = np.indices(old)
  cell = np.stack([columns, rows], axis=-1)
  places = np.array([[1.5, 2.0], [3.25, 0.5], [5.0, 3.0], [0.0, 1.0]])
  steps = [place - cell for place in places]
  maps = {
    'class': np.full((*old, 2), 0.5),
    'size': np.full((*old, 2), [2.0, 4.0]),
    'offset': steps[0],
    'palm_frame': np.concatenate(
      [*steps[:3], np.full((*old, 1), 0.25)], axis=-1
    ),
    'points': np.concatenate([np.full((*old, 3), 0.75), *steps[1:]], axis=-1),
  }
  maps = {name: np.float32(values[None]) for name, values in maps.items()}
  got = jax.device_get(resize(maps, new))
  rows, columns = np.indices(new)
  cell = np.stack([columns, rows], axis=-1)
  steps = [place * factor - cell for place in places]
  want = {
    'class': np.full((*new, 2), 0.5),
    'size': np.full((*new, 2), [5.0, 3.0]),
    'offset': steps[0],
    'palm_frame': np.concatenate(
      [*steps[:3], np.full((*new, 1), 0.25)], axis=-1
    ),
    'points': np.concatenate([np.full((*new, 3), 0.75), *steps[1:]], axis=-1),
  }
  assert set(got) == set(want)
  for name, values in want.items():
    np.testing.assert_allclose(got[name][0], values, atol=1e-5, err_msg=name)
  # Between two rows, and beyond the last, as linear interpolation has it.
  ramp = {**maps, 'class': np.float32(np.indices(old)[:1, ..., None])}
  ramp = np.asarray(resize(ramp, (8, 6))['class'])[0, :, 0, 0]
  np.testing.assert_allclose(
    ramp, [0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3], atol=1e-6
  )


def test_maps_of_the_same_shape_are_the_same():
  maps = {
    name: np.ones((1, 3, 5, values), np.float32)
    for name, values in {'class': 3, **center_maps.VALUES}.items()
  }
  assert center_maps.resize(maps, (3, 5)) is maps


def maps_of(logits):
  shape = logits.shape[:-1]
  maps = {
    'class': logits,
    'size': np.ones((*shape, 2)),
    'offset': np.zeros((*shape, 2)),
    'palm_frame': np.zeros((*shape, 7)),
    # A fresh network's.
    'points': np.tile([-2.19] * 3 + [0.0] * 6, (*shape, 1)),
  }
  return {name: np.float32(values) for name, values in maps.items()}


def test_decode_takes_peaks_alone_best_first():
  logits = np.full((1, 6, 6, 2), -5.0)
  logits[0, 1, 1, 0] = 2.0
  logits[0, 1, 2, 0] = 1.9  # Beside a better one.
  logits[0, 2, 2, 1] = 1.0  # Of another class.
  logits[0, 4, 4, 0] = 90.0  # Sigmoids of both are 1.
  logits[0, 4, 5, 0] = 80.0
  got = jax.device_get(decode(maps_of(logits), stride=4, count=3))
  np.testing.assert_allclose(
    got['scores'][0], 1 / (1 + np.exp([-90.0, -2.0, -1.0])), rtol=1e-6
  )
  np.testing.assert_array_equal(got['classes'][0], [0, 0, 1])
  np.testing.assert_array_equal(
    got['boxes'][0, :, :2], [[14, 14], [2, 2], [6, 6]]
  )


def test_decode_of_more_than_there_is_is_refused():
  with pytest.raises(ValueError, match='9 objects wanted of maps with 8'):
    center_maps.decode(maps_of(np.zeros((1, 2, 2, 2))), stride=4, count=9)

"""Detection losses against NumPy, CenterNet's divisors and edge cases."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from palmjax.losses import detection

CLASSES, SIDE = 3, 5


def random_maps(seed=0):
  rng = np.random.default_rng(seed)
  channels = {
    'class': CLASSES,
    'size': 2,
    'offset': 2,
    'palm_frame': 7,
    'points': 9,
  }
  return {
    name: rng.normal(size=(2, SIDE, SIDE, count)).astype(np.float32)
    for name, count in channels.items()
  }


def random_targets(seed=1):
  """Three objects, two of them framed; the last row of an image is none."""
  rng = np.random.default_rng(seed)
  heatmap = rng.uniform(0, 0.95, (2, SIDE, SIDE, CLASSES))
  present = np.array([[True, True], [True, False]])
  cells = np.array([[3, 11], [24, 0]], np.int32)
  for b, m in np.argwhere(present):
    heatmap[b, cells[b, m] // SIDE, cells[b, m] % SIDE, m] = 1.0
  point_heatmap = rng.uniform(0, 0.95, (2, SIDE, SIDE, 3))
  point_cells = np.array([[7, 8, 0], [13, 0, 0]], np.int32)
  point_present = np.array([[True, True, False], [True, False, False]])
  for b, m in np.argwhere(point_present):
    row, column = divmod(point_cells[b, m], SIDE)
    point_heatmap[b, row, column, m] = 1.0
  return {
    'point_heatmap': point_heatmap.astype(np.float32),
    # The last row of the maps is not known, but for a point in it.
    'point_known': np.arange(SIDE)[None, :, None] + np.zeros((2, 1, SIDE)) < 4,
    'point_cells': point_cells,
    'point_present': point_present,
    'point_offset': rng.uniform(-1, 2, (2, 3, 2)).astype(np.float32),
    'heatmap': heatmap.astype(np.float32),
    'cells': cells,
    'present': present,
    'size': rng.uniform(2, 9, (2, 2, 2)).astype(np.float32),
    'offset': rng.uniform(0, 1, (2, 2, 2)).astype(np.float32),
    'palm_frame': rng.normal(size=(2, 2, 3, 2)).astype(np.float32),
    'framed': np.array([[True, False], [True, False]]),
    'facing': np.array([[True, False], [False, False]]),
  }


def empty_targets():
  targets = random_targets()
  return {name: np.zeros_like(value) for name, value in targets.items()} | {
    'heatmap': np.minimum(targets['heatmap'], 0.9)
  }


def focal(logits, heatmap, known):
  """Σ and the number of centres, value by value."""
  total, centres = 0.0, 0
  for place in np.ndindex(logits.shape):
    y = heatmap[place]
    p = np.clip(1 / (1 + np.exp(-np.float64(logits[place]))), 1e-4, 1 - 1e-4)
    if y == 1:
      total -= (1 - p) ** 2 * np.log(p)
      centres += 1
    elif known[place[:3]]:
      total -= (1 - y) ** 4 * p**2 * np.log(1 - p)
  return total / centres


def reference(maps, targets):
  """All terms, object by object."""
  sums = dict.fromkeys(('size', 'offset', 'palm_frame', 'facing'), 0.0)
  objects = framed = 0
  for b, m in np.argwhere(targets['present']):
    row, column = divmod(targets['cells'][b, m], SIDE)
    objects += 1
    for name in ('size', 'offset'):
      error = maps[name][b, row, column] - targets[name][b, m]
      sums[name] += np.abs(error).sum()
    if targets['framed'][b, m]:
      framed += 1
      values = maps['palm_frame'][b, row, column]
      width, height = targets['size'][b, m]
      error = values[:6].reshape(3, 2) - targets['palm_frame'][b, m]
      sums['palm_frame'] += np.abs(error).sum() / np.sqrt(width * height)
      sign = 1 if targets['facing'][b, m] else -1
      sums['facing'] += np.log1p(np.exp(-sign * values[6]))
  place, points = 0.0, 0
  for b, m in np.argwhere(targets['point_present']):
    row, column = divmod(targets['point_cells'][b, m], SIDE)
    channels = slice(3 + 2 * (m % 3), 5 + 2 * (m % 3))
    error = (
      maps['points'][b, row, column, channels] - targets['point_offset'][b, m]
    )
    place += np.abs(error).sum()
    points += 1
  everywhere = np.ones((2, SIDE, SIDE), bool)
  return {
    'class': focal(maps['class'], targets['heatmap'], everywhere),
    'points': focal(
      maps['points'][..., :3],
      targets['point_heatmap'],
      targets['point_known'],
    ),
    'place': place / (2 * points + 1e-4),
    'size': sums['size'] / (2 * objects + 1e-4),
    'offset': sums['offset'] / (2 * objects + 1e-4),
    'palm_frame': sums['palm_frame'] / (6 * framed + 1e-4),
    'facing': sums['facing'] / (framed + 1e-4),
  }


detection_loss = jax.jit(detection.detection_loss)


def test_terms_equal_numpy():
  maps, targets = random_maps(), random_targets()
  loss, terms = detection_loss(maps, targets)
  want = reference(maps, targets)
  assert terms.keys() == want.keys()
  for name, value in want.items():
    np.testing.assert_allclose(terms[name], value, rtol=1e-5, err_msg=name)
  total = (
    want['class']
    + 0.1 * want['size']
    + want['offset']
    + want['palm_frame']
    + 0.1 * want['facing']
    + want['points']
    + want['place']
  )
  np.testing.assert_allclose(loss, total, rtol=1e-5)


def test_focal_loss_by_hand():
  """One centre at p = 0.75, one value beside it at Y = 0.5, p = 0.25."""
  logits = jnp.log(jnp.array([3.0, 1 / 3])).reshape(1, 1, 2, 1)
  heatmap = jnp.array([1.0, 0.5]).reshape(1, 1, 2, 1)
  want = -(np.log(0.75) / 16 + np.log(0.75) / 16 / 16)
  np.testing.assert_allclose(
    detection.focal_loss(logits, heatmap), want, rtol=1e-5
  )


def test_focal_loss_without_centres_is_a_sum():
  logits = jnp.zeros((1, 2, 3, 2))
  got = detection.focal_loss(logits, jnp.zeros((1, 2, 3, 2)))
  np.testing.assert_allclose(got, 12 * 0.25 * np.log(2), rtol=1e-6)


def test_focal_loss_of_huge_logits_is_finite():
  logits = jnp.array([1e4, -1e4, 1e4, -1e4]).reshape(1, 2, 2, 1)
  heatmap = jnp.array([1.0, 1.0, 0.0, 0.0]).reshape(1, 2, 2, 1)
  value, gradient = jax.value_and_grad(detection.focal_loss)(logits, heatmap)
  # One centre and one other value wrong, each by all that the margin allows.
  want = -2 * 0.9999**2 * np.log(1e-4) / 2
  np.testing.assert_allclose(value, want, rtol=1e-3)
  np.testing.assert_array_equal(gradient, np.zeros((1, 2, 2, 1)))


def test_gradients_equal_differences():
  maps, targets = random_maps(), random_targets()
  gradient = jax.jit(
    jax.grad(lambda maps: detection.detection_loss(maps, targets)[0])
  )(maps)
  direction = random_maps(seed=5)
  step = 1e-2

  def at(sign):
    moved = {n: maps[n] + sign * step * direction[n] for n in maps}
    terms = reference(moved, targets)
    return sum(detection.WEIGHTS[name] * terms[name] for name in terms)

  slope = (at(1) - at(-1)) / (2 * step)
  got = sum(np.sum(gradient[n] * direction[n]) for n in maps)
  np.testing.assert_allclose(got, slope, rtol=1e-3)


def test_regression_reads_cells_of_objects_alone():
  maps, targets = random_maps(), random_targets()
  gradient = jax.jit(
    jax.grad(lambda maps: detection.detection_loss(maps, targets)[0])
  )(maps)
  for name, mask in (
    ('size', targets['present']),
    ('offset', targets['present']),
    ('palm_frame', targets['framed']),
  ):
    touched = np.any(np.asarray(gradient[name]) != 0, axis=-1)
    want = np.zeros((2, SIDE * SIDE), bool)
    for b, m in np.argwhere(mask):
      want[b, targets['cells'][b, m]] = True
    np.testing.assert_array_equal(touched.reshape(2, -1), want, err_msg=name)


def test_points_are_read_where_they_are_known():
  maps, targets = random_maps(), random_targets()
  gradient = jax.jit(
    jax.grad(lambda maps: detection.detection_loss(maps, targets)[0])
  )(maps)
  touched = np.asarray(gradient['points']) != 0
  centres = targets['point_heatmap'] == 1
  want = centres | targets['point_known'][..., None]
  np.testing.assert_array_equal(touched[..., :3], want)
  # Of each kind its own offset, at its own cells.
  want = np.zeros((2, SIDE * SIDE, 3), bool)
  for b, m in np.argwhere(targets['point_present']):
    want[b, targets['point_cells'][b, m], m % 3] = True
  offsets = touched[..., 3:].reshape(2, -1, 3, 2)
  np.testing.assert_array_equal(offsets.all(axis=-1), want)
  np.testing.assert_array_equal(offsets.any(axis=-1), want)


def test_images_without_objects():
  maps = random_maps()
  loss, terms = detection_loss(maps, empty_targets())
  for name in ('size', 'offset', 'palm_frame', 'facing', 'points', 'place'):
    assert terms[name] == 0, name
  assert loss == terms['class'] > 0
  gradient = jax.jit(
    jax.grad(lambda maps: detection.detection_loss(maps, empty_targets())[0])
  )(maps)
  chex.assert_tree_all_finite(gradient)


def test_error_of_the_frame_is_relative_to_the_hand():
  maps, targets = random_maps(), random_targets()
  _, small = detection_loss(maps, targets)
  scale = np.array([3.0] * 6 + [1.0], np.float32)
  _, large = detection_loss(
    maps | {'palm_frame': maps['palm_frame'] * scale},
    targets | {name: 3 * targets[name] for name in ('palm_frame', 'size')},
  )
  np.testing.assert_allclose(
    large['palm_frame'], small['palm_frame'], rtol=1e-5
  )
  assert small['palm_frame'] > 0.05


def test_weights_of_other_terms_are_refused():
  terms = {'class': jnp.ones(()), 'size': jnp.ones(())}
  with pytest.raises(ValueError, match='give those of class, size'):
    detection.weighted_sum(terms, {'class': 1.0})

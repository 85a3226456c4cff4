"""Centre maps: published numbers, NumPy twins, and there and back again."""

import functools
import math

import jax
import numpy as np
import pytest

from palmjax.ops.maps import centers as center_maps


def reference_radius(height, width, fixed):
  """All three quadratics as CornerNet writes them, in double precision."""
  o = 0.7
  coefficients = (
    (1, height + width, width * height * (1 - o) / (1 + o)),
    (4, 2 * (height + width), (1 - o) * width * height),
    (4 * o, -2 * o * (height + width), (o - 1) * width * height),
  )
  roots = []
  for index, (a, b, c) in enumerate(coefficients):
    root = math.sqrt(b**2 - 4 * a * c)
    if fixed:
      roots.append((b + (root if index == 2 else -root)) / (2 * a))
    else:
      roots.append((b + root) / 2)
  return min(roots)


def annotations(boxes, classes, *, points=None, **flags):
  """Of one image; all valid and framed unless said otherwise."""
  boxes = np.asarray(boxes, np.float32)
  count = len(boxes)
  filled = {
    'boxes': boxes,
    'classes': np.asarray(classes, np.int32),
    'valid': np.ones(count, bool),
    'points': np.zeros((count, 3, 2)) if points is None else points,
    'framed': np.ones(count, bool),
    'facing': np.zeros(count, bool),
    **flags,
  }
  filled['points'] = np.asarray(filled['points'], np.float32)
  return {name: np.asarray(value)[None] for name, value in filled.items()}


@functools.partial(jax.jit, static_argnames='stride')
def _encode(data, stride):
  return center_maps.encode(data, shape=(16, 16), num_classes=3, stride=stride)


_decode = jax.jit(center_maps.decode, static_argnames=('stride', 'count'))


def encode(data, stride=4):
  """In NumPy, as `decode`: each index of a device's array is a program."""
  return jax.device_get(_encode(data, stride))


def decode(maps, **options):
  return jax.device_get(_decode(maps, **options))


def logits(heatmap):
  with np.errstate(divide='ignore'):
    heatmap = np.asarray(heatmap, np.float64)
    return (np.log(heatmap) - np.log1p(-heatmap)).astype(np.float32)


def dense(targets, shape):
  """Perfect maps: the targets of one image, and noise where nobody looks."""
  rng = np.random.default_rng(7)

  def place(targets, rows):
    flat = rng.normal(size=(1, shape[0] * shape[1], rows.shape[-1]))
    flat = flat.astype(np.float32)
    kept = np.flatnonzero(targets['present'][0])
    flat[0, targets['cells'][0][kept]] = rows[0][kept]
    return flat.reshape(1, *shape, -1)

  palm_frame = np.concatenate(
    [
      np.asarray(targets['palm_frame']).reshape(1, -1, 6),
      np.where(targets['facing'], 20.0, -20.0)[..., None],
    ],
    axis=-1,
  )
  # Peaks of several hands are alike, and the centres tell them apart.
  points = [np.clip(logits(targets['point_heatmap']), -20, 20)]
  kinds = np.arange(targets['point_cells'].shape[1]) % 3
  for kind in range(3):
    of_kind = {
      name: np.asarray(targets[f'point_{name}'])[:, kinds == kind]
      for name in ('cells', 'present', 'offset')
    }
    points.append(place(of_kind, of_kind['offset']))
  return {
    'class': logits(targets['heatmap']),
    'size': place(targets, np.asarray(targets['size'])),
    'offset': place(targets, np.asarray(targets['offset'])),
    'palm_frame': place(targets, palm_frame),
    'points': np.concatenate(points, axis=-1),
  }


def test_heatmap_equals_the_loop():
  """Blobs that overlap, leave the map, and share a class or do not."""
  boxes = [[4, 4, 44, 36], [20, 8, 60, 40], [0, 0, 10, 60], [33, 33, 41, 39]]
  classes = [0, 0, 2, 1]
  got = encode(annotations(boxes, classes))['heatmap'][0]
  want = np.zeros((16, 16, 3))
  for (x0, y0, x1, y1), k in zip(boxes, classes, strict=True):
    width, height = (x1 - x0) / 4, (y1 - y0) / 4
    r = int(reference_radius(math.ceil(height), math.ceil(width), False))
    column, row = int((x0 + x1) / 8), int((y0 + y1) / 8)
    for i in range(max(row - r, 0), min(row + r, 15) + 1):
      for j in range(max(column - r, 0), min(column + r, 15) + 1):
        square = (i - row) ** 2 + (j - column) ** 2
        value = math.exp(-square / (2 * ((2 * r + 1) / 6) ** 2))
        want[i, j, k] = max(want[i, j, k], value)
  np.testing.assert_allclose(got, want, atol=1e-6)
  assert int(np.sum(got == 1)) == 4


def test_regression_targets():
  points = [[[10, 12], [14, 12], [12, 30]]]
  got = encode(annotations([[5, 6, 19, 36]], [1], points=points))
  # Centre (12, 21) is (3, 5.25) in cells; the neighbours say the same place.
  corners = np.array([[-0.5, -2], [0.5, -2], [0, 2.5]])
  seen = set()
  for i in range(9):
    row, column = divmod(int(got['cells'][0, i]), 16)
    step = np.array([column - 3, row - 5])
    assert np.abs(step).max() <= 1
    seen.add(tuple(step))
    assert got['present'][0, i]
    np.testing.assert_array_equal(got['size'][0, i], [3.5, 7.5])
    np.testing.assert_array_equal(got['offset'][0, i], [0.0, 0.25] - step)
    np.testing.assert_array_equal(got['palm_frame'][0, i], corners - step)
  assert len(seen) == 9
  assert got['cells'][0, 0] == 5 * 16 + 3


@pytest.mark.slow
def test_one_cell_an_object_is_what_was_published():
  data = annotations([[5, 6, 19, 36], [30, 30, 40, 50]], [1, 0])
  nine = encode(data)
  options = {'shape': (16, 16), 'num_classes': 3, 'stride': 4}
  one = jax.jit(functools.partial(center_maps.encode, cells=1, **options))(data)
  for name in ('cells', 'present', 'size', 'offset', 'palm_frame', 'framed'):
    np.testing.assert_array_equal(one[name], nine[name][:, :2], err_msg=name)
  for name in ('point_cells', 'point_present', 'point_offset'):
    np.testing.assert_array_equal(one[name], nine[name][:, :6], err_msg=name)
  with pytest.raises(ValueError, match='5 cells of an object: use 1 or 9'):
    center_maps.encode(data, cells=5, **options)


@pytest.mark.parametrize('gap', [4, 8])
def test_hands_beside_each_other_keep_their_boxes(gap):
  """Centres one and two cells apart, of other size and class."""
  boxes = np.array([[8, 8, 28, 28], [8 + gap, 12, 28 + gap, 24]])
  points = np.random.default_rng(0).uniform(8, 28, (2, 3, 2))
  targets = encode(annotations(boxes, [0, 1], points=points))
  got = decode(dense(targets, (16, 16)), stride=4, count=2)
  np.testing.assert_allclose(got['boxes'][0], boxes, atol=1e-5)
  np.testing.assert_array_equal(got['classes'][0], [0, 1])


def test_neighbours_outside_the_map_are_none():
  got = encode(annotations([[0, 0, 4, 6]], [1]))
  assert got['present'].sum() == 4
  np.testing.assert_array_equal(
    np.sort(got['cells'][0][got['present'][0]]), [0, 1, 16, 17]
  )


@pytest.mark.parametrize(
  'box, flags',
  [
    ([8, 8, 24, 24], {'valid': [False]}),
    ([8, 8, 8, 24], {}),
    ([24, 8, 8, 24], {}),
    ([60, 8, 70, 24], {}),
    ([-12, 8, 4, 24], {}),
  ],
)
def test_what_is_no_object(box, flags):
  points = np.ones((1, 3, 2))
  data = annotations([box], [1], points=points, facing=[True], **flags)
  targets = encode(data)
  # Nor is it a hand whose points nobody knows.
  assert np.all(targets.pop('point_known'))
  for name, value in targets.items():
    assert np.all(np.asarray(value) == 0), name


def test_facing_is_known_of_framed_objects_only():
  data = annotations(
    [[8, 8, 24, 24], [32, 32, 48, 48]],
    [0, 1],
    framed=[True, False],
    facing=[True, True],
  )
  got = encode(data)
  np.testing.assert_array_equal(got['framed'], [[True, False] * 9])
  np.testing.assert_array_equal(got['facing'], [[True, False] * 9])
  np.testing.assert_array_equal(got['present'], [[True, True] * 9])


@pytest.mark.parametrize('stride', [4, 8, 12])
def test_decoded_targets_are_the_annotations(stride):
  rng = np.random.default_rng(stride)
  boxes = np.array(
    [[3, 1, 23, 25], [29, 4, 61, 44], [2, 40, 30, 62], [50, 48, 57, 63]]
  ) * (stride / 4)
  points = rng.uniform(0, 16 * stride, (4, 3, 2)).astype(np.float32)
  classes, facing = [2, 0, 2, 1], [True, False, False, True]
  data = annotations(boxes, classes, points=points, facing=facing)
  targets = encode(data, stride=stride)
  got = decode(dense(targets, (16, 16)), stride=stride, count=6)
  np.testing.assert_array_equal(got['scores'][0, :4], np.ones(4))
  assert np.all(np.asarray(got['scores'][0, 4:]) < 1)
  # All score 1: they come in the order of their places.
  order = np.argsort(targets['cells'][0, :4])
  np.testing.assert_array_equal(got['classes'][0, :4], np.array(classes)[order])
  np.testing.assert_array_equal(
    got['facing'][0, :4] > 0.5, np.array(facing)[order]
  )
  np.testing.assert_allclose(got['boxes'][0, :4], boxes[order], atol=1e-5)
  np.testing.assert_allclose(got['points'][0, :4], points[order], atol=1e-4)


def test_boxes_on_quarters_of_a_pixel_come_back_exactly():
  boxes = np.array([[3.25, 1.5, 23.75, 25.5], [29.5, 4.25, 61.5, 44.75]])
  targets = encode(annotations(boxes, [0, 1]))
  got = decode(dense(targets, (16, 16)), stride=4, count=2)
  np.testing.assert_array_equal(np.asarray(got['boxes'][0]), boxes)


def test_mirrored_maps_of_mirrored_images_show_the_objects():
  """What is right of a cell's border is left of that of the mirrored cell."""
  rng = np.random.default_rng(3)
  boxes = np.array(
    [[3, 1, 23, 25], [29, 4, 61, 44], [2, 40, 30, 62], [50, 48, 57, 63]]
  )
  points = rng.uniform(0, 64, (4, 3, 2)).astype(np.float32)
  classes, facing = np.array([2, 0, 1, 1]), np.array([True, False, False, True])
  there = annotations(
    boxes[:, [2, 1, 0, 3]] * [-1, 1, -1, 1] + [64, 0, 64, 0],
    classes,
    points=points * [-1, 1] + [64, 0],
    facing=facing,
  )
  maps = dense(encode(there), (16, 16))
  mirror = jax.jit(center_maps.mirror)
  got = decode(mirror(maps), stride=4, count=4)
  # All score 1: they come in the order of their places.
  cells = ((boxes[:, 1::2].sum(1) // 8) * 16) + boxes[:, ::2].sum(1) // 8
  order = np.argsort(cells)
  np.testing.assert_array_equal(got['scores'][0], np.ones(4))
  np.testing.assert_array_equal(got['classes'][0], classes[order])
  np.testing.assert_array_equal(got['facing'][0] > 0.5, facing[order])
  np.testing.assert_allclose(got['boxes'][0], boxes[order], atol=1e-4)
  np.testing.assert_allclose(got['points'][0], points[order], atol=1e-4)


@pytest.mark.parametrize('side', [11, 16, 23, 32])
def test_resized_maps_show_the_object(side):
  box = np.array([11.0, 18, 43, 59])
  points = np.array([[20.5, 30], [33, 28.25], [25, 50]])
  data = annotations([box], [2], points=[points], facing=[True])
  maps = dense(encode(data), (16, 16))
  # Every cell says where it is.
  rows, columns = np.indices((16, 16))
  cell = np.stack([columns, rows], axis=-1)
  steps = [
    (box[:2] + box[2:]) / 8 - cell,
    *(point / 4 - cell for point in points),
  ]
  maps['size'][0] = (box[2:] - box[:2]) / 4
  maps['offset'][0] = steps[0]
  maps['palm_frame'][0, ..., :6] = np.concatenate(steps[1:], axis=-1)
  maps['palm_frame'][0, ..., 6] = 2.0
  maps['points'][0, ..., 3:] = np.concatenate(steps[1:], axis=-1)
  maps['class'] = np.clip(maps['class'], -20, 20)
  resize = jax.jit(center_maps.resize, static_argnames=('shape',))
  got = decode(resize(maps, shape=(side, side)), stride=64 / side, count=1)
  assert got['scores'][0, 0] > 0.9
  assert got['classes'][0, 0] == 2
  np.testing.assert_allclose(got['boxes'][0, 0], box, atol=1e-4)
  np.testing.assert_allclose(got['points'][0, 0], points, atol=1e-4)
  np.testing.assert_allclose(
    got['facing'][0, 0], jax.nn.sigmoid(2.0), rtol=1e-5
  )

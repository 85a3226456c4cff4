"""Painted rectangles: where they went, the boxes and points must have gone."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from palmjax.data.augment import boxes as box_augment

_OFF = {
  'mirror': False,
  'turns': False,
  'scale': 0.0,
  'shift': 0.0,
  'saturation': 0.0,
  'hue': 0.0,
  'grey': 0.0,
  'brightness': 0.0,
  'contrast': 0.0,
  'blur': 0.0,
  'noise': 0.0,
  'erase': 0.0,
}
_GEOMETRY = {'mirror': True, 'turns': True, 'scale': 0.2, 'shift': 0.1}
_COLOUR = {'saturation': 0.3, 'hue': 10.0, 'grey': 0.5}
_LIGHT = {'brightness': 0.1, 'contrast': 0.2, 'blur': 1.0, 'noise': 0.05}
# Few sets of strengths in all tests: compiling takes longer than running.
_SIZE, _COUNT, _ROOM = 32, 64, 3
# One pure channel for each row, on grey.
_COLOURS = np.eye(3) * 255


def _batch(seed=0):
  """Two rectangles an image in red and green; the third row is empty.

  The points are the corners 0, 1 and 2 of the rectangle.
  """
  generator = np.random.default_rng(seed)
  image = np.full((_COUNT, _SIZE, _SIZE, 3), 128, np.uint8)
  boxes = np.zeros((_COUNT, _ROOM, 4), np.float32)
  for i in range(_COUNT):
    # Left and right, so that they do not overlap.
    for m, (low, high) in enumerate(((2, 14), (17, 30))):
      x0, x1 = low + generator.integers(0, 4), high - generator.integers(0, 4)
      y0 = generator.integers(2, 16)
      y1 = y0 + generator.integers(6, 14)
      boxes[i, m] = x0, y0, x1, y1
      image[i, y0:y1, x0:x1] = _COLOURS[m]
  valid = np.arange(_ROOM) < np.full((_COUNT, 1), 2)
  points = boxes[..., [0, 1, 2, 1, 2, 3]].reshape(_COUNT, _ROOM, 3, 2)
  return {
    'image': jnp.asarray(image),
    'boxes': jnp.asarray(boxes),
    'classes': jnp.asarray(valid * np.array([4, 7, 0]), jnp.int32),
    'valid': jnp.asarray(valid),
    'points': jnp.asarray(points),
    'framed': jnp.asarray(valid),
    'facing': jnp.asarray(valid & (np.arange(_ROOM) == 1)),
  }


@functools.cache
def _jitted(**strengths):
  function = box_augment.make_augment(**{**_OFF, **strengths})
  # Keys and batches do not make it compile again.
  return jax.jit(chex.assert_max_traces(function, n=1))


def _apply(batch, seed=0, **strengths):
  changed = _jitted(**strengths)(jax.random.key(seed), batch)
  return {name: np.asarray(value) for name, value in changed.items()}


def _painted(image, m):
  """Where the colour of row m is in an image: bool [S, S]."""
  colour = image.astype(int)
  others = np.delete(colour, m, axis=-1).max(axis=-1)
  return colour[..., m] - others > 128


def _extent(mask):
  rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
  return [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]


def test_strength_zero_is_the_identity():
  batch = _batch()
  changed = _apply({**batch, 'keypoints': jnp.zeros((_COUNT, _ROOM, 21, 2))})
  assert set(changed) == set(batch)
  for name, value in batch.items():
    np.testing.assert_array_equal(changed[name], value)
    assert changed[name].dtype == value.dtype


def test_mirror_and_turns_move_pictures_boxes_and_points_exactly():
  batch = _batch()
  changed = _apply(batch, mirror=True, turns=True)
  kinds = set()
  for i in range(_COUNT):
    for k in range(4):
      for flip in (False, True):
        source = np.asarray(batch['image'][i])
        source = source[:, ::-1] if flip else source
        if np.array_equal(np.rot90(source, -k), changed['image'][i]):
          kinds.add((k, flip))
    for m in range(2):
      box = changed['boxes'][i, m]
      assert box.tolist() == _extent(_painted(changed['image'][i], m))
      # A corner of the rectangle is a corner of the box: 0 and 2 opposite.
      corner = changed['points'][i, m]
      assert sorted(corner[[0, 2], 0]) == sorted(box[[0, 2]])
      assert sorted(corner[[0, 2], 1]) == sorted(box[[1, 3]])
  assert len(kinds) == 8
  for name in ('classes', 'valid', 'framed', 'facing'):
    np.testing.assert_array_equal(changed[name], batch[name])


def test_points_follow_their_corner():
  # A bright pixel at corner 1, upper right, of the red rectangle.
  batch = _batch()
  image = np.array(batch['image'])
  for i in range(_COUNT):
    x, y = np.asarray(batch['points'])[i, 0, 1].astype(int)
    image[i, y, x - 1] = 255
  changed = _apply({**batch, 'image': jnp.asarray(image)}, **_GEOMETRY)
  for i in range(_COUNT):
    white = changed['image'][i].astype(int).min(axis=-1) - 128
    if white.max() > 60 and changed['framed'][i, 0]:
      y, x = np.unravel_index(white.argmax(), white.shape)
      place = changed['points'][i, 0, 1]
      assert np.abs(place - [x + 0.5, y + 0.5]).max() < 1.8
  assert changed['framed'][:, 0].sum() > 20


def test_scale_and_shift_move_all_alike():
  batch = _batch()
  changed = _apply(batch, **_GEOMETRY)
  compared = 0
  for i in range(_COUNT):
    for m in range(2):
      if changed['valid'][i, m]:
        extent = _extent(_painted(changed['image'][i], m))
        # A pixel is painted from half of it on, the corners being blurred.
        assert np.abs(changed['boxes'][i, m] - extent).max() < 1.3
        compared += 1
  assert compared > 90
  # Nothing comes in over the border but grey.
  edge = changed['image'][:, 0]
  assert (edge == 128).all(axis=-1).mean() > 0.5
  for low, high in ((0, 2), (1, 3)):
    assert (changed['boxes'][..., low] <= changed['boxes'][..., high]).all()
  assert changed['boxes'].min() >= 0
  assert changed['boxes'].max() <= _SIZE


def test_scale_and_shift_have_their_deviation():
  batch = _batch()
  # Small and in the middle, so that none is clipped.
  middle = jnp.array([14.0, 14, 18, 18])
  batch['boxes'] = jnp.broadcast_to(middle, batch['boxes'].shape)
  boxes = np.concatenate(
    [_apply(batch, seed, **_GEOMETRY)['boxes'] for seed in range(8)]
  )[:, 0]
  log_size = np.log((boxes[:, 2] - boxes[:, 0]) / 4)
  np.testing.assert_allclose(log_size.std(), 0.2, rtol=0.1)
  np.testing.assert_allclose(log_size.mean(), 0, atol=0.03)
  centre = (boxes[:, :2] + boxes[:, 2:]) / 2 / _SIZE - 0.5
  np.testing.assert_allclose(centre.std(axis=0), 0.1, rtol=0.1)
  np.testing.assert_allclose(centre.mean(axis=0), 0, atol=0.015)


def test_boxes_are_dropped_when_too_little_is_left():
  batch = _batch()
  changed = _apply(batch, shift=0.4)
  dropped = ~changed['valid'][:, :2]
  assert 30 < dropped.sum() < 100
  size = ((changed['boxes'] - np.roll(changed['boxes'], 2, -1))[..., 2:]).prod(
    -1
  )
  full = np.asarray(batch['boxes'])
  full = (full[..., 2] - full[..., 0]) * (full[..., 3] - full[..., 1])
  share = size[:, :2] / full[:, :2]
  assert share[~dropped].min() >= 0.4
  assert (share[~dropped] < 0.7).any()
  for name in ('boxes', 'classes', 'points', 'framed', 'facing'):
    assert not changed[name][:, :2][dropped].any()
  # What is painted of a dropped one is less than 0.4, up to a pixel's rim.
  for i, m in zip(*np.nonzero(dropped), strict=True):
    seen = _painted(changed['image'][i], m).sum()
    assert seen < 0.4 * full[i, m] + 8


def test_a_frame_with_a_point_outside_is_not_framed():
  changed = _apply(_batch(), shift=0.4)
  inside = (changed['points'] >= 0) & (changed['points'] <= _SIZE)
  inside = inside.all(axis=(2, 3))
  np.testing.assert_array_equal(changed['framed'], changed['valid'] & inside)
  assert (changed['valid'] & ~changed['framed']).sum() > 5


def test_erasing_hides_boxes_that_it_covers():
  batch = _batch()
  # Small boxes, which a rectangle can cover.
  x = 4.5 + 8 * np.arange(_ROOM)
  small = np.stack([x, x + 3, x + 3.5, x + 7.25], axis=-1)
  batch['boxes'] = jnp.asarray(
    np.broadcast_to(small, (_COUNT, _ROOM, 4)), jnp.float32
  )
  batch['valid'] = jnp.ones((_COUNT, _ROOM), bool)
  batch['image'] = jnp.full_like(batch['image'], 77)
  changed = _apply(batch, erase=1.0)
  hidden = (changed['image'] != 77).any(axis=-1)
  assert hidden.any(axis=(1, 2)).sum() > 60
  # On a grid four times finer the boxes are whole pixels.
  fine = hidden.repeat(4, axis=1).repeat(4, axis=2)
  for i in range(_COUNT):
    for m, box in enumerate((4 * small).astype(int)):
      covered = fine[i, box[1] : box[3], box[0] : box[2]].mean()
      assert changed['valid'][i, m] == (1 - covered >= 0.4), covered
  assert 3 < (~changed['valid']).sum() < 100


def _changed(strengths):
  """(batch, changed, which images changed), of colours that can change."""
  batch = _batch()
  batch['image'] = 64 + batch['image'] // 2
  changed = _apply(batch, **strengths)
  for name in set(batch) - {'image'}:
    np.testing.assert_array_equal(changed[name], batch[name])
  different = changed['image'] != np.asarray(batch['image'])
  return batch['image'], changed['image'], different.any(axis=(1, 2, 3))


def test_light_changes_leave_the_boxes_alone():
  _, _, different = _changed(_LIGHT)
  assert different.all()


def test_colours_change_by_their_deviation():
  before, after, different = _changed(_COLOUR)
  assert different.all()
  chroma = [
    np.ptp(np.asarray(images, float), axis=-1).max(axis=(1, 2))
    for images in (before, after)
  ]
  without = chroma[1] <= 1
  assert 20 < without.sum() < 44
  # A turn of the hue changes this measure of chroma, too, but little.
  factor = np.log((chroma[1] / chroma[0])[~without])
  np.testing.assert_allclose(factor.std(), 0.3, rtol=0.35)
  # Grey stays grey.
  ground = after[np.ptp(np.asarray(before), axis=-1) == 0].astype(int)
  assert np.ptp(ground, axis=-1).max() <= 1


def test_an_image_does_not_see_its_batch():
  batch, others = _batch(), _batch(seed=9)
  others = {
    name: value.at[2].set(batch[name][2]) for name, value in others.items()
  }
  a, b = _apply(batch, **_GEOMETRY), _apply(others, **_GEOMETRY)
  for name in batch:
    np.testing.assert_array_equal(a[name][2], b[name][2])
  assert (a['image'][1] != b['image'][1]).any()
  # Nor its size; XLA may round differently, hence no exact equality.
  few = {name: value[:3] for name, value in batch.items()}
  c = jax.jit(box_augment.make_augment(**{**_OFF, **_GEOMETRY}))(
    jax.random.key(0), few
  )
  np.testing.assert_allclose(c['boxes'], a['boxes'][:3], atol=1e-4)
  assert np.abs(c['image'].astype(int) - a['image'][:3]).max() <= 1
  other = _apply(batch, 1, **_GEOMETRY)
  assert (other['boxes'] != a['boxes']).any(axis=(1, 2)).all()


@pytest.fixture(scope='module')
def closer():
  """Looks at one hand each, of other size than the images."""
  return _apply(_batch(), closer=1.0, size=40)


def test_a_closer_look_has_a_hand_in_the_middle(closer):
  assert closer['image'].shape == (_COUNT, 40, 40, 3)
  chosen = set()
  for i in range(_COUNT):
    centre = closer['boxes'][i, :2].reshape(2, 2, 2).mean(axis=1)
    middle = np.abs(centre - 20).max(axis=1) < 1e-3
    assert middle.sum() == 1
    (m,) = np.flatnonzero(middle)
    chosen.add(m)
    box = closer['boxes'][i, m]
    # Down to half the size, up to four times; 40 for 32.
    assert 0.35 - 1e-4 <= max(box[2:] - box[:2]) / 40 <= 0.85 + 1e-4
    assert closer['valid'][i, m]
  assert chosen == {0, 1}


def test_boxes_and_points_follow_a_closer_look(closer):
  for i, m in np.argwhere(closer['valid']):
    found = _extent(_painted(closer['image'][i], m))
    assert np.abs(found - closer['boxes'][i, m]).max() <= 1.5
    if closer['framed'][i, m]:
      corners = closer['points'][i, m].ravel()[[0, 1, 2, 5]]
      np.testing.assert_allclose(corners, closer['boxes'][i, m], atol=1e-3)


def test_closer_looks_of_smaller_size_turned_and_mirrored():
  """As the shipped detector was trained; a corner tells which way is up."""
  batch = _batch()
  changed = _apply(
    batch, closer=0.5, size=24, mirror=True, turns=True, shift=0.05, scale=0.2
  )
  assert changed['image'].shape == (_COUNT, 24, 24, 3)
  flips = set()
  for i, m in np.argwhere(changed['valid']):
    box = changed['boxes'][i, m]
    found = _extent(_painted(changed['image'][i], m))
    assert np.abs(found - box).max() <= 1.5
    if changed['framed'][i, m]:
      # Its corners, in an order that the turn and the mirror decide.
      corners = changed['points'][i, m]
      assert np.abs(corners.min(axis=0) - box[:2]).max() < 1e-3
      assert np.abs(corners.max(axis=0) - box[2:]).max() < 1e-3
      first = corners[1] - corners[0]
      second = corners[2] - corners[1]
      flips.add(np.sign(first[0] * second[1] - first[1] * second[0]))
  assert flips == {-1, 1}


def test_images_without_hands_have_no_closer_look():
  batch = _batch()
  empty = {**batch, 'valid': jnp.zeros_like(batch['valid'])}
  changed = _apply(empty, closer=1.0)
  np.testing.assert_array_equal(changed['image'], batch['image'])


def test_only_some_looks_are_closer():
  batch = _batch()
  changed = _apply(batch, closer=0.5)
  same = (changed['image'] == np.asarray(batch['image'])).all(axis=(1, 2, 3))
  # 64 throws.
  assert 16 < same.sum() < 48


def test_another_size_alone_keeps_the_view():
  batch = _batch()
  changed = _apply(batch, size=16)
  assert changed['image'].shape == (_COUNT, 16, 16, 3)
  np.testing.assert_allclose(changed['boxes'], batch['boxes'] / 2, atol=1e-5)
  # Between four pixels each: their mean.
  want = np.asarray(batch['image'], float).reshape(_COUNT, 16, 2, 16, 2, 3)
  np.testing.assert_allclose(
    changed['image'], want.mean(axis=(2, 4)), atol=0.51
  )


@pytest.mark.parametrize(
  'name, value',
  [
    ('scale', -1.0),
    ('erase', 1.5),
    ('grey', -0.1),
    ('blur', -1.0),
    ('closer', 2.0),
  ],
)
def test_impossible_strength(name, value):
  with pytest.raises(ValueError, match=f'^{name}={value}: give'):
    box_augment.make_augment(**{**_OFF, name: value})

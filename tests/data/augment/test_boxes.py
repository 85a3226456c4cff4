"""Painted rectangles: where they went, the boxes and points must have gone."""

import jax
import jax.numpy as jnp
import numpy as np

from palmjax.data.augment import boxes as box_augment
from tests.data.augment import coloured_boxes

_COLOUR = {'saturation': 0.3, 'hue': 10.0, 'grey': 0.5}
_LIGHT = {'brightness': 0.1, 'contrast': 0.2, 'blur': 1.0, 'noise': 0.05}


def test_strength_zero_is_the_identity():
  batch = coloured_boxes.batch()
  changed = coloured_boxes.apply(
    {
      **batch,
      'keypoints': jnp.zeros(
        (coloured_boxes.COUNT, coloured_boxes.ROOM, 21, 2)
      ),
    }
  )
  assert set(changed) == set(batch)
  for name, value in batch.items():
    np.testing.assert_array_equal(changed[name], value)
    assert changed[name].dtype == value.dtype


def test_mirror_and_turns_move_pictures_boxes_and_points_exactly():
  batch = coloured_boxes.batch()
  changed = coloured_boxes.apply(batch, mirror=True, turns=True)
  kinds = set()
  for i in range(coloured_boxes.COUNT):
    for k in range(4):
      for flip in (False, True):
        source = np.asarray(batch['image'][i])
        source = source[:, ::-1] if flip else source
        if np.array_equal(np.rot90(source, -k), changed['image'][i]):
          kinds.add((k, flip))
    for m in range(2):
      box = changed['boxes'][i, m]
      assert box.tolist() == coloured_boxes.extent(
        coloured_boxes.painted(changed['image'][i], m)
      )
      # A corner of the rectangle is a corner of the box: 0 and 2 opposite.
      corner = changed['points'][i, m]
      assert sorted(corner[[0, 2], 0]) == sorted(box[[0, 2]])
      assert sorted(corner[[0, 2], 1]) == sorted(box[[1, 3]])
  assert len(kinds) == 8
  for name in ('classes', 'valid', 'framed', 'facing'):
    np.testing.assert_array_equal(changed[name], batch[name])


def test_points_follow_their_corner():
  # A bright pixel at corner 1, upper right, of the red rectangle.
  batch = coloured_boxes.batch()
  image = np.array(batch['image'])
  for i in range(coloured_boxes.COUNT):
    x, y = np.asarray(batch['points'])[i, 0, 1].astype(int)
    image[i, y, x - 1] = 255
  changed = coloured_boxes.apply(
    {**batch, 'image': jnp.asarray(image)}, **coloured_boxes.GEOMETRY
  )
  for i in range(coloured_boxes.COUNT):
    white = changed['image'][i].astype(int).min(axis=-1) - 128
    if white.max() > 60 and changed['framed'][i, 0]:
      y, x = np.unravel_index(white.argmax(), white.shape)
      place = changed['points'][i, 0, 1]
      assert np.abs(place - [x + 0.5, y + 0.5]).max() < 1.8
  assert changed['framed'][:, 0].sum() > 20


def test_scale_and_shift_move_all_alike():
  batch = coloured_boxes.batch()
  changed = coloured_boxes.apply(batch, **coloured_boxes.GEOMETRY)
  compared = 0
  for i in range(coloured_boxes.COUNT):
    for m in range(2):
      if changed['valid'][i, m]:
        extent = coloured_boxes.extent(
          coloured_boxes.painted(changed['image'][i], m)
        )
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
  assert changed['boxes'].max() <= coloured_boxes.SIZE


def test_scale_and_shift_have_their_deviation():
  batch = coloured_boxes.batch()
  # Small and in the middle, so that none is clipped.
  middle = jnp.array([14.0, 14, 18, 18])
  batch['boxes'] = jnp.broadcast_to(middle, batch['boxes'].shape)
  boxes = np.concatenate(
    [
      coloured_boxes.apply(batch, seed, **coloured_boxes.GEOMETRY)['boxes']
      for seed in range(8)
    ]
  )[:, 0]
  log_size = np.log((boxes[:, 2] - boxes[:, 0]) / 4)
  np.testing.assert_allclose(log_size.std(), 0.2, rtol=0.1)
  np.testing.assert_allclose(log_size.mean(), 0, atol=0.03)
  centre = (boxes[:, :2] + boxes[:, 2:]) / 2 / coloured_boxes.SIZE - 0.5
  np.testing.assert_allclose(centre.std(axis=0), 0.1, rtol=0.1)
  np.testing.assert_allclose(centre.mean(axis=0), 0, atol=0.015)


def test_boxes_are_dropped_when_too_little_is_left():
  batch = coloured_boxes.batch()
  changed = coloured_boxes.apply(batch, shift=0.4)
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
    seen = coloured_boxes.painted(changed['image'][i], m).sum()
    assert seen < 0.4 * full[i, m] + 8


def test_a_frame_with_a_point_outside_is_not_framed():
  changed = coloured_boxes.apply(coloured_boxes.batch(), shift=0.4)
  inside = (changed['points'] >= 0) & (changed['points'] <= coloured_boxes.SIZE)
  inside = inside.all(axis=(2, 3))
  np.testing.assert_array_equal(changed['framed'], changed['valid'] & inside)
  assert (changed['valid'] & ~changed['framed']).sum() > 5


def test_erasing_hides_boxes_that_it_covers():
  batch = coloured_boxes.batch()
  # Small boxes, which a rectangle can cover.
  x = 4.5 + 8 * np.arange(coloured_boxes.ROOM)
  small = np.stack([x, x + 3, x + 3.5, x + 7.25], axis=-1)
  batch['boxes'] = jnp.asarray(
    np.broadcast_to(small, (coloured_boxes.COUNT, coloured_boxes.ROOM, 4)),
    jnp.float32,
  )
  batch['valid'] = jnp.ones((coloured_boxes.COUNT, coloured_boxes.ROOM), bool)
  batch['image'] = jnp.full_like(batch['image'], 77)
  changed = coloured_boxes.apply(batch, erase=1.0)
  hidden = (changed['image'] != 77).any(axis=-1)
  assert hidden.any(axis=(1, 2)).sum() > 60
  # On a grid four times finer the boxes are whole pixels.
  fine = hidden.repeat(4, axis=1).repeat(4, axis=2)
  for i in range(coloured_boxes.COUNT):
    for m, box in enumerate((4 * small).astype(int)):
      covered = fine[i, box[1] : box[3], box[0] : box[2]].mean()
      assert changed['valid'][i, m] == (1 - covered >= 0.4), covered
  assert 3 < (~changed['valid']).sum() < 100


def _changed(strengths):
  """(batch, changed, which images changed), of colours that can change."""
  batch = coloured_boxes.batch()
  batch['image'] = 64 + batch['image'] // 2
  changed = coloured_boxes.apply(batch, **strengths)
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
  batch, others = coloured_boxes.batch(), coloured_boxes.batch(seed=9)
  others = {
    name: value.at[2].set(batch[name][2]) for name, value in others.items()
  }
  a, b = (
    coloured_boxes.apply(batch, **coloured_boxes.GEOMETRY),
    coloured_boxes.apply(others, **coloured_boxes.GEOMETRY),
  )
  for name in batch:
    np.testing.assert_array_equal(a[name][2], b[name][2])
  assert (a['image'][1] != b['image'][1]).any()
  # Nor its size; XLA may round differently, hence no exact equality.
  few = {name: value[:3] for name, value in batch.items()}
  c = jax.jit(
    box_augment.make_augment(
      **{**coloured_boxes.OFF, **coloured_boxes.GEOMETRY}
    )
  )(jax.random.key(0), few)
  np.testing.assert_allclose(c['boxes'], a['boxes'][:3], atol=1e-4)
  assert np.abs(c['image'].astype(int) - a['image'][:3]).max() <= 1
  other = coloured_boxes.apply(batch, 1, **coloured_boxes.GEOMETRY)
  assert (other['boxes'] != a['boxes']).any(axis=(1, 2)).all()

"""Closer looks at hands, and other sizes."""

import jax.numpy as jnp
import numpy as np
import pytest

from palmjax.data.augment import boxes as box_augment
from tests.data.augment import coloured_boxes


@pytest.fixture(scope='module')
def closer():
  """Looks at one hand each, of other size than the images."""
  return coloured_boxes.apply(coloured_boxes.batch(), closer=1.0, size=40)


def test_a_closer_look_has_a_hand_in_the_middle(closer):
  assert closer['image'].shape == (coloured_boxes.COUNT, 40, 40, 3)
  chosen = set()
  for i in range(coloured_boxes.COUNT):
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
    extent = coloured_boxes.extent(
      coloured_boxes.painted(closer['image'][i], m)
    )
    assert np.abs(extent - closer['boxes'][i, m]).max() <= 1.5
    if closer['framed'][i, m]:
      corners = closer['points'][i, m].ravel()[[0, 1, 2, 5]]
      np.testing.assert_allclose(corners, closer['boxes'][i, m], atol=1e-3)


def test_closer_looks_of_smaller_size_turned_and_mirrored():
  """As the shipped detector was trained; a corner tells which way is up."""
  batch = coloured_boxes.batch()
  changed = coloured_boxes.apply(
    batch, closer=0.5, size=24, mirror=True, turns=True, shift=0.05, scale=0.2
  )
  assert changed['image'].shape == (coloured_boxes.COUNT, 24, 24, 3)
  flips = set()
  for i, m in np.argwhere(changed['valid']):
    box = changed['boxes'][i, m]
    extent = coloured_boxes.extent(
      coloured_boxes.painted(changed['image'][i], m)
    )
    assert np.abs(extent - box).max() <= 1.5
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
  batch = coloured_boxes.batch()
  empty = {**batch, 'valid': jnp.zeros_like(batch['valid'])}
  changed = coloured_boxes.apply(empty, closer=1.0)
  np.testing.assert_array_equal(changed['image'], batch['image'])


def test_only_some_looks_are_closer():
  batch = coloured_boxes.batch()
  changed = coloured_boxes.apply(batch, closer=0.5)
  same = (changed['image'] == np.asarray(batch['image'])).all(axis=(1, 2, 3))
  # 64 throws.
  assert 16 < same.sum() < 48


def test_another_size_alone_keeps_the_centre():
  batch = coloured_boxes.batch()
  changed = coloured_boxes.apply(batch, size=16)
  assert changed['image'].shape == (coloured_boxes.COUNT, 16, 16, 3)
  np.testing.assert_allclose(changed['boxes'], batch['boxes'] / 2, atol=1e-5)
  # Between four pixels each: their mean.
  want = np.asarray(batch['image'], float).reshape(
    coloured_boxes.COUNT, 16, 2, 16, 2, 3
  )
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
    box_augment.make_augment(**{**coloured_boxes.OFF, name: value})

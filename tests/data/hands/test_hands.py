"""Whole images of hands; one size and one batch, to compile once."""

import jax
import numpy as np
import pytest
import scipy.ndimage

from palmjax.data.hands import hands, skin
from palmjax.data.palms import curves, palms
from palmjax.data.palms import lines as palm_lines

KEY = jax.random.key(5)
SIZE = 96
BATCH = 24
FIVE = hands.GESTURES.index('five')


@pytest.fixture(scope='module')
def drawn():
  """Numbers 0 to 2 · BATCH, anything."""
  halves = [
    hands.draw_batch(KEY, np.arange(BATCH) + start, size=SIZE)
    for start in (0, BATCH)
  ]
  return jax.tree.map(lambda *x: np.concatenate(x), *halves)


def _pinned(numbers, **pins):
  """One hand each; the arguments broadcast, all pinned: one program."""
  pins = {'gesture': FIVE, 'facing': True, 'angle': 0.0, 'identity': 4} | pins
  numbers = np.broadcast_to(numbers, BATCH)
  batch = hands.draw_batch(
    KEY, numbers, size=SIZE, difficulty=0.0, count=1, **pins
  )
  return jax.tree.map(np.asarray, batch)


def test_shapes_and_types(drawn):
  n = 2 * BATCH
  expected = {
    'image': ((n, SIZE, SIZE, 3), np.uint8),
    'boxes': ((n, 3, 4), np.float32),
    'classes': ((n, 3), np.int32),
    'valid': ((n, 3), np.bool_),
    'points': ((n, 3, 3, 2), np.float32),
    'framed': ((n, 3), np.bool_),
    'facing': ((n, 3), np.bool_),
    'left': ((n, 3), np.bool_),
  }
  assert {k: (v.shape, v.dtype) for k, v in drawn.items()} == expected
  image = drawn['image'].astype(np.float32)
  assert np.median(image.std(axis=(1, 2, 3))) > 15
  assert 60 < image.mean() < 190


def test_an_image_depends_on_its_number_alone(drawn):
  again = hands.draw_batch(KEY, np.arange(BATCH)[::-1] + 7, size=SIZE)
  for name, values in again.items():
    np.testing.assert_array_equal(values[::-1], drawn[name][7 : 7 + BATCH])
  other = hands.draw_batch(
    jax.random.key(6), np.arange(BATCH)[::-1] + 7, size=SIZE
  )
  assert np.all(np.any(other['image'] != again['image'], axis=(1, 2, 3)))


def test_rows_of_no_hand_are_last_and_zero(drawn):
  valid = drawn['valid']
  assert np.all(valid[:, :-1] >= valid[:, 1:])
  counts = np.bincount(valid.sum(axis=1), minlength=4)
  assert np.all(counts[:3] > 0)
  for name in set(drawn) - {'image', 'valid'}:
    assert not np.any(drawn[name][~valid])


def test_boxes_lie_in_the_image(drawn):
  boxes = drawn['boxes'][drawn['valid']]
  assert np.all(boxes >= 0)
  assert np.all(boxes <= SIZE)
  side = np.max(boxes[:, 2:] - boxes[:, :2], axis=1)
  assert np.all(boxes[:, 2:] > boxes[:, :2])
  assert side.max() > 0.6 * SIZE
  assert side.min() < 0.4 * SIZE


def test_a_frame_tells_left_from_right(drawn):
  framed = drawn['framed']
  assert np.all(drawn['valid'][framed])
  points = drawn['points'][framed]
  assert len(points) > 8
  assert np.all((points > 0) & (points < SIZE))
  across = points[:, 1] - points[:, 0]
  down = points[:, 2] - points[:, :2].mean(axis=1)
  cross = across[:, 0] * down[:, 1] - across[:, 1] * down[:, 0]
  left, facing = drawn['left'][framed], drawn['facing'][framed]
  np.testing.assert_array_equal(cross > 0, left == facing)
  assert {0, 1} <= set(left) <= {0, 1}
  assert {0, 1} <= set(facing) <= {0, 1}


def test_pins():
  angle = np.linspace(-3, 3, BATCH)
  identity = np.arange(BATCH) + 10
  drawn = _pinned(np.arange(BATCH), angle=angle, identity=identity)
  np.testing.assert_array_equal(drawn['valid'].sum(axis=1), 1)
  assert np.all(drawn['classes'][:, 0] == FIVE)
  assert np.all(drawn['facing'][:, 0])
  np.testing.assert_array_equal(drawn['left'][:, 0], identity % 2 == 0)
  valley, other, wrist = np.moveaxis(drawn['points'][:, 0], 1, 0)
  up = (valley + other) / 2 - wrist
  # The wrist is a little beside the axis of the palm; hands are tilted.
  turned = np.arctan2(up[:, 0], -up[:, 1]) - angle
  turned = (turned + np.pi) % (2 * np.pi) - np.pi
  assert np.abs(turned).max() < 0.25


def test_open_hands_are_framed_and_fists_are_not():
  gesture = np.arange(BATCH) % len(hands.GESTURES)
  drawn = _pinned(np.arange(BATCH) + 50, gesture=gesture)
  inside = np.all(
    (drawn['points'][:, 0] > 0) & (drawn['points'][:, 0] < SIZE), axis=(1, 2)
  )
  whole = [hands.GESTURES.index(name) for name in ('four', 'five')]
  open_hand = np.isin(gesture, whole)
  np.testing.assert_array_equal(
    drawn['framed'][open_hand, 0], inside[open_hand]
  )
  closed = [hands.GESTURES.index(name) for name in ('fist', 'thumb_up', 'one')]
  assert not np.any(drawn['framed'][np.isin(gesture, closed), 0])


@pytest.fixture(scope='module')
def empty():
  """The rooms of numbers 0 to BATCH without hands."""
  drawn = hands.draw_batch(
    KEY, np.arange(BATCH), size=SIZE, difficulty=0.0, count=0
  )
  assert not np.any(drawn['valid'])
  return np.asarray(drawn['image'], np.float32)


@pytest.mark.parametrize('gesture', ['five', 'two'])
@pytest.mark.parametrize(
  'border, angle', [(0, -np.pi / 2), (1, 0.0), (2, np.pi / 2), (3, np.pi)]
)
def test_boxes_are_tight_around_what_differs_from_the_empty_room(
  empty, border, angle, gesture
):
  """At the border to which the fingers point; arm and shadows differ, too."""
  gesture = hands.GESTURES.index(gesture)
  one = _pinned(np.arange(BATCH), gesture=gesture, angle=angle)
  delta = one['image'].astype(np.float32) - empty
  lines = np.abs(delta).max(axis=(1 + border % 2, 3)) > 40
  if border < 2:
    seen = np.argmax(lines, axis=1)
  else:
    seen = SIZE - np.argmax(lines[:, ::-1], axis=1)
  gaps = np.abs(seen - one['boxes'][:, 0, border])
  assert np.median(gaps) <= 1.5


class _Enough(Exception):  # noqa: N818
  """Stops `palms.draw` before it draws."""


@jax.jit
def _palm_draws(identities):
  """What `palms.draw` makes creases from, caught on the way; [N, ...]."""

  def one(identity):
    caught = {}

    def catch(uniforms, normals, wear):
      caught.update(uniforms=uniforms, normals=normals, wear=wear)
      raise _Enough

    with pytest.MonkeyPatch.context() as patch:
      patch.setattr(palm_lines, 'identity_strokes', catch)
      with pytest.raises(_Enough):
        palms.draw(KEY, identity, identity * 0, size=16)
    lines = palm_lines.principal_lines(
      caught['uniforms']['lines'], caught['normals']['lines']
    )
    return caught, lines

  return jax.lax.map(one, identities)


def test_the_draws_are_those_of_the_palm():
  identities = np.arange(8) + 20
  caught, _ = _palm_draws(identities)
  person, uniforms, normals = jax.jit(
    lambda i: jax.lax.map(lambda i: skin.identity_draws(KEY, i), i)
  )(identities)
  np.testing.assert_array_equal(person.wear, caught['wear'])
  for draws, expected in (
    (uniforms, caught['uniforms']),
    (normals, caught['normals']),
  ):
    jax.tree.map(np.testing.assert_array_equal, draws, expected)


def _lines(identities):
  """Points [N, 2] on the principal lines in the ROI of each identity."""
  _, (control, present, _) = _palm_draws(identities)
  t = np.linspace(0.15, 0.85, 30)
  points = np.asarray(curves.bezier(control[:, :3, None], t))
  for i, shown, places in zip(identities, present, points, strict=True):
    places = places[np.asarray(shown[:3]) > 0].reshape(-1, 2)
    yield places * [-1, 1] + [1, 0] if i % 2 else places


def _darkness(image, points, lines):
  """How much darker the ROI of a hand is on lines than beside them."""
  valley, other, wrist = points
  d = np.linalg.norm(other - valley)
  across = (other - valley) / d
  down = np.array([-across[1], across[0]])
  down *= np.sign((wrist - valley) @ down)
  # Right palms have the index finger on the right.
  if across[0] * down[1] < across[1] * down[0]:
    across = -across
  x, y = (1.8 * lines - [0.9, -0.1]).T
  place = (valley + other) / 2 + d * (x[:, None] * across + y[:, None] * down)
  gray = np.log(image.astype(np.float32).mean(axis=-1) + 5)
  high = gray - scipy.ndimage.gaussian_filter(gray, 0.2 * d)
  read = scipy.ndimage.map_coordinates(high, place.T[::-1] - 0.5, order=1)
  return -read.mean()


def test_the_palm_has_the_creases_of_the_identity():
  identities = np.arange(8) + 20
  identity = np.tile(identities, BATCH // 8)
  drawn = _pinned(np.arange(BATCH) + 200, identity=identity, angle=0.7)
  lines = list(_lines(identities))
  scores = np.array(
    [
      [_darkness(image, points, x) for x in lines]
      for image, points in zip(
        drawn['image'], drawn['points'][:, 0], strict=True
      )
    ]
  )
  same = identity[:, None] == identities
  width = np.linalg.norm(np.diff(drawn['points'][:, 0, :2], axis=1), axis=-1)
  big = width[:, 0] > 11
  assert big.sum() >= BATCH // 2
  scores, same = scores[big], same[big]
  assert np.median(scores[same]) > np.percentile(scores[~same], 95)


@pytest.mark.parametrize(
  'bad, message',
  [
    ({'difficulty': 1.1}, 'within'),
    ({'size': 16}, 'at least 32'),
    ({'count': 4}, 'count'),
    ({'gesture': 10}, 'gesture'),
  ],
)
def test_rejects(bad, message):
  with pytest.raises(ValueError, match=message):
    hands.draw_batch(KEY, [0], **({'size': SIZE} | bad))

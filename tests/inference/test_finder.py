"""Photos whose colours tell a stand-in for the network where it looks."""

import numpy as np
import pytest

from palmjax.images import palm_frame
from palmjax.inference import finder
from tests.inference import painted_hands


@pytest.mark.parametrize('shape, placing', painted_hands.PHOTOS)
@pytest.mark.parametrize('looks', [1, 2, 3])
@pytest.mark.parametrize('left', [True, False])
def test_hands_are_found_where_they_are(shape, placing, looks, left):
  photo, true = (
    painted_hands.paint(shape),
    painted_hands.hand(**placing, left=left),
  )
  network = painted_hands.Network(photo, [true])
  (hand,) = painted_hands.find(photo, network, looks=looks)
  assert len(network.transforms) == min(looks, 2)
  d = placing['d']
  # The third look reads colours of few levels.
  near = (0.02 if looks < 3 else 0.03) * d + 0.2
  np.testing.assert_allclose(hand.points, true['points'], atol=near)
  box = [*true['outline'].min(axis=0), *true['outline'].max(axis=0)]
  np.testing.assert_allclose(hand.box, box, atol=0.02 * d + 0.2)
  assert (hand.gesture, hand.score) == ('five', 0.9)
  assert hand.facing == (0.8 if looks < 3 else 0.7)
  assert hand.side == ('left' if left else 'right')
  assert hand.shows_palm


@pytest.mark.parametrize('shape, placing', painted_hands.PHOTOS)
def test_the_hand_fills_the_second_look(shape, placing):
  photo, true = painted_hands.paint(shape), painted_hands.hand(**placing)
  network = painted_hands.Network(photo, [true])
  painted_hands.find(photo, network)
  _, second = network.transforms
  side = np.ptp(true['outline'], axis=0).max()
  assert np.linalg.norm(second[:, 0]) * painted_hands.SIZE == pytest.approx(
    side / finder.FILL, rel=0.02
  )
  middle = second @ [painted_hands.SIZE / 2, painted_hands.SIZE / 2, 1]
  # The outline is symmetric about it.
  assert np.abs(middle - placing['centre']).max() < 0.02 * side


@pytest.mark.parametrize('shape, placing', painted_hands.PHOTOS)
@pytest.mark.parametrize('left', [True, False])
def test_the_palm_stands_upright_in_the_third_look(shape, placing, left):
  photo, true = (
    painted_hands.paint(shape),
    painted_hands.hand(**placing, left=left),
  )
  reader, transforms = painted_hands.stand_in_reader(photo, [true])
  painted_hands.find(
    photo, painted_hands.Network(photo, [true]), looks=3, reader=reader
  )
  assert len(transforms) == 2
  c, s = np.cos(placing['angle']), np.sin(placing['angle'])
  scale = palm_frame.SIDE * placing['d'] / painted_hands.READ
  np.testing.assert_allclose(
    transforms[-1][:, :2] / scale, [[c, -s], [s, c]], atol=0.03
  )


def test_closer_looks_lower_the_error():
  """An error of two pixels of the look is less of a photo seen from near."""
  shape, placing = painted_hands.PHOTOS[3]
  photo, true = painted_hands.paint(shape), painted_hands.hand(**placing)
  errors = []
  for looks in (1, 2, 3):
    (hand,) = painted_hands.find(
      photo, painted_hands.Network(photo, [true], shake=2.0), looks=looks
    )
    errors.append(np.linalg.norm(hand.points - true['points'], axis=-1).max())
  assert errors[0] == pytest.approx(2 * 2100 / painted_hands.SIZE, rel=0.05)
  side = np.ptp(true['outline'], axis=0).max() / finder.FILL
  assert errors[1] == pytest.approx(2 * side / painted_hands.SIZE, rel=0.1)
  # The reader knows.
  assert errors[2] < 0.05 * placing['d']


def test_what_a_closer_look_does_not_see_stays():
  shape, placing = painted_hands.PHOTOS[0]
  photo, true = painted_hands.paint(shape), painted_hands.hand(**placing)
  (first,) = painted_hands.find(
    photo, painted_hands.Network(photo, [true]), looks=1
  )
  (kept,) = painted_hands.find(
    photo, painted_hands.Network(photo, [true], only=(1,))
  )
  np.testing.assert_array_equal(kept.box, first.box)
  np.testing.assert_array_equal(kept.points, first.points)

  # Another hand elsewhere is not taken for it.
  class Elsewhere(painted_hands.Network):
    def __call__(self, images):
      if self.transforms:
        self.hands = [painted_hands.hand(**{**placing, 'centre': (600, 350)})]
      return super().__call__(images)

  (kept,) = painted_hands.find(photo, Elsewhere(photo, [true]))
  np.testing.assert_array_equal(kept.points, first.points)
  # Nor is the palm frame of a hand that the reader sees far away.
  far = painted_hands.hand(**{**placing, 'centre': (600, 350)})
  reader, _ = painted_hands.stand_in_reader(photo, [far])
  (kept,) = painted_hands.find(
    photo, painted_hands.Network(photo, [true]), looks=3, reader=reader
  )
  np.testing.assert_allclose(kept.points, first.points, atol=2.0)


def test_a_third_look_changes_frame_and_facing_and_fists_have_none():
  shape, placing = painted_hands.PHOTOS[1]
  photo = painted_hands.paint(shape)
  true, fist = (
    painted_hands.hand(**placing),
    painted_hands.hand(**placing, label=painted_hands.FIST),
  )
  second = painted_hands.find(
    photo, painted_hands.Network(photo, [true], shake=1.0), looks=2
  )[0]
  third = painted_hands.find(
    photo, painted_hands.Network(photo, [true], shake=1.0), looks=3
  )[0]
  assert np.abs(third.points - second.points).max() > 0.5
  assert third.box.tolist() == second.box.tolist()
  assert third[1:3] == second[1:3]
  assert (second.facing, third.facing) == (0.8, 0.7)
  reader, transforms = painted_hands.stand_in_reader(photo, [fist])
  network = painted_hands.Network(photo, [fist])
  (hand,) = painted_hands.find(photo, network, looks=3, reader=reader)
  assert (len(network.transforms), len(transforms)) == (2, 0)
  assert (hand.framed, hand.shows_palm, hand.side) == (False, False, None)


def test_one_hand_is_told_once_and_the_best_first():
  photo = painted_hands.paint((600, 900))
  left, right = (
    {'angle': 0.2, 'd': 50.0, 'centre': centre}
    for centre in ((230, 300), (640, 300))
  )
  network = painted_hands.Network(
    photo,
    [
      painted_hands.hand(**left, score=0.5),
      # The same hand, taken for another gesture.
      painted_hands.hand(**left, score=0.4, label=painted_hands.FIST),
      painted_hands.hand(**right, score=0.8, facing=0.1),
      painted_hands.hand(**right, score=0.29),
      painted_hands.hand(angle=0.0, d=10.0, centre=(450, 100), score=0.2),
    ],
  )
  hands = painted_hands.find(photo, network, looks=2)
  assert [one.score for one in hands] == [0.8, 0.5]
  # The back of a right hand lies as the palm of a left one.
  assert [one.side for one in hands] == ['right', 'left']
  assert [one.shows_palm for one in hands] == [False, True]
  assert len(painted_hands.find(photo, network, looks=1, score=0.1)) == 3
  assert painted_hands.find(photo, network, score=0.95) == []


@pytest.mark.parametrize('looks', [1, 2, 3])
@pytest.mark.parametrize('closer', [0.25, 0.35])
def test_a_hand_half_seen_needs_a_closer_look(looks, closer):
  shape, placing = painted_hands.PHOTOS[0]
  photo, true = (
    painted_hands.paint(shape),
    painted_hands.hand(**placing, score=0.2),
  )

  class Surer(painted_hands.Network):
    def __call__(self, images):
      if self.transforms:
        self.hands = [{**true, 'score': closer}]
      return super().__call__(images)

  hands = painted_hands.find(photo, Surer(photo, [true]), looks=looks)
  assert [one.score for one in hands] == (
    [closer] if closer > 0.3 and looks > 1 else []
  )
  # It was not worth a look.
  faint = Surer(photo, [true | {'score': 0.1}])
  assert painted_hands.find(photo, faint, looks=looks) == []
  assert len(faint.transforms) == 1


def test_boxes_end_at_the_border_and_grey_holds_no_hand():
  photo = painted_hands.paint((100, 400))
  edge = painted_hands.hand(angle=0.0, d=40.0, centre=(395, 50))
  outside = painted_hands.hand(angle=0.0, d=5.0, centre=(200, 150))
  (hand,) = painted_hands.find(
    photo, painted_hands.Network(photo, [edge, outside]), looks=1
  )
  assert hand.box[2] == 400
  assert hand.box[1] == 0
  assert hand.box[3] == 100


@pytest.mark.parametrize(
  'image, options, message',
  [
    (np.zeros((9, 9, 3), np.uint8), {'looks': 4}, 'looks=4: give 1, 2 or 3'),
    (np.zeros((9, 9, 3), np.uint8), {'looks': 3}, 'needs a reader'),
    (np.zeros((9, 9, 3)), {}, 'type float64'),
    (np.zeros((9, 9), np.uint8), {}, r'shape \(9, 9\)'),
    (np.zeros((0, 9, 3), np.uint8), {}, r'shape \(0, 9, 3\)'),
  ],
)
def test_what_is_no_photo(image, options, message):
  options = {'looks': 2, **options}
  with pytest.raises(ValueError, match=message):
    finder.find(
      None,
      image,
      classes=painted_hands.CLASSES,
      size=painted_hands.SIZE,
      **options,
    )

"""Photos whose colours tell a stand-in for the network where it looks."""

import types

import jax
import numpy as np
import pytest

from palmjax.data.augment import boxes as box_augment
from palmjax.data.hands import hands
from palmjax.data.palms import palms
from palmjax.evals.detection import palm_frames
from palmjax.images import palm_frame
from palmjax.inference import finder, palm_files
from palmjax.networks import export, shipped
from palmjax.networks import hand as hand_networks
from palmjax.ops import blur, contrast
from palmjax.recipes.shared import hand_images

SIZE = 96
READ = 64  # Side of what the reader sees.
CLASSES = ('fist', 'five')
FIST, FIVE = range(2)
DETECTOR = shipped.HAND
# The frame of a left palm with d = 1, and points around the hand.
FRAME = np.array([[-0.5, 0.0], [0.5, 0.0], [0.2, 2.3]])
_TURN = np.linspace(0, 2 * np.pi, 40, endpoint=False)
OUTLINE = np.stack([1.2 * np.cos(_TURN), 0.4 + 2.2 * np.sin(_TURN)], axis=-1)


def place(points, *, angle, d, centre, left=True):
  """Points of the palm in pixels: turned clockwise about (0, 0.4), enlarged."""
  c, s = np.cos(angle), np.sin(angle)
  points = points * [1 if left else -1, 1] - [0, 0.4]
  return d * points @ np.array([[c, s], [-s, c]]) + centre


def hand(*, label=FIVE, score=0.9, facing=0.8, **placing):
  """A hand as the stand-in is told it."""
  return {
    'outline': place(OUTLINE, **placing),
    'points': place(FRAME, **placing),
    'class': label,
    'score': score,
    'facing': facing,
  }


def paint(shape):
  """Red tells x, green y; blue tells the photo from the grey around it."""
  y, x = np.mgrid[: shape[0], : shape[1]] + 0.5
  red, green = 255 * x / shape[1], 255 * y / shape[0]
  colours = np.stack([red, green, np.full(shape, 230.0)], axis=-1)
  return np.round(colours).astype(np.uint8)


def view_of(image, shape, *, turned):
  """The affine map from the pixels of a view to the photo, [2, 3].

  Args:
    image: [S, S, 3], what `paint` painted, seen through the view.
    shape: of the photo.
    turned: cut out of the photo; there Pillow cuts fractions of colours off.
  """
  image = np.asarray(image, float)
  y, x = np.mgrid[: len(image), : len(image)] + 0.5
  inside = (image[..., 2] > 225) & (image[..., :2] < 250).all(axis=-1)
  inside &= (image[..., :2] > 5).all(axis=-1)
  rows = np.stack([x, y, np.ones_like(x)], axis=-1)[inside]
  colours = image[inside][:, :2] + (0.5 if turned else 0.0)
  colours *= np.array(shape[1::-1]) / 255
  return np.linalg.lstsq(rows, colours, rcond=None)[0].T


def stand_in_reader(photo, found):
  """A reader of palm frames that knows the hands; see `Network`.

  Returns:
    (`networks.palm_frame.PalmFrameReader`, list of the views that it saw).
  """
  views = []

  def read(images):
    side = images.shape[1]
    assert images.shape == (1, side, side, 3)
    view = view_of(images[0], photo.shape, turned=True)
    views.append(view)
    middle = view @ [side / 2, side / 2, 1]
    near = min(
      found, key=lambda one: np.linalg.norm(one['points'].mean(0) - middle)
    )
    points = (near['points'] - view[:, 2]) @ np.linalg.inv(view[:, :2]).T
    points = points / side - 0.5
    if points[0, 0] > points[1, 0]:
      points = points[[1, 0, 2]]
    return points[None], np.array([0.7])

  return types.SimpleNamespace(read=read, image_size=READ), views


class Network:
  """Stands in for a detector that finds what is there.

  Attributes:
    views: of each look, the affine map from its pixels to the photo, [2, 3].
  """

  def __init__(self, photo, found, *, shake=0.0, only=None):
    """Args: `shake`: error in pixels of the view; `only`: looks that see."""
    self.shape, self.found, self.views = photo.shape[:2], found, []
    self.shake, self.only = shake, only

  def __call__(self, images):
    assert images.shape == (1, SIZE, SIZE, 3)
    view = view_of(images[0], self.shape, turned=bool(self.views))
    self.views.append(view)
    result = {
      'boxes': np.zeros((1, 8, 4)),
      'scores': np.zeros((1, 8)),
      'classes': np.zeros((1, 8), int),
      'points': np.zeros((1, 8, 3, 2)),
      'facing': np.zeros((1, 8)),
    }
    if self.only is not None and len(self.views) not in self.only:
      return result
    back = np.linalg.inv(view[:, :2])
    for k, one in enumerate(self.found):
      outline = (one['outline'] - view[:, 2]) @ back.T
      result['boxes'][0, k] = *outline.min(axis=0), *outline.max(axis=0)
      points = (one['points'] - view[:, 2]) @ back.T
      result['points'][0, k] = points + self.shake * np.array([0.6, -0.8])
      result['scores'][0, k] = one['score']
      result['facing'][0, k] = one['facing']
      result['classes'][0, k] = one['class']
    return result


def find(photo, network, *, looks=2, reader=None, score=0.3):
  if looks == 3 and reader is None:
    reader, _ = stand_in_reader(photo, network.found)
  return finder.find(
    network,
    photo,
    classes=CLASSES,
    size=SIZE,
    reader=reader,
    looks=looks,
    score=score,
  )


PHOTOS = [
  ((700, 1000), {'angle': 0.0, 'd': 60.0, 'centre': (300, 350)}),
  ((1000, 500), {'angle': 2.5, 'd': 50.0, 'centre': (240, 600)}),
  ((90, 100), {'angle': -1.4, 'd': 12.0, 'centre': (55, 40)}),
  ((2000, 2100), {'angle': -3.0, 'd': 70.0, 'centre': (1700, 400)}),
]


@pytest.mark.parametrize('shape, placing', PHOTOS)
@pytest.mark.parametrize('looks', [1, 2, 3])
@pytest.mark.parametrize('left', [True, False])
def test_hands_are_found_where_they_are(shape, placing, looks, left):
  photo, true = paint(shape), hand(**placing, left=left)
  network = Network(photo, [true])
  (found,) = find(photo, network, looks=looks)
  assert len(network.views) == min(looks, 2)
  d = placing['d']
  # The third look reads colours of few levels.
  near = (0.02 if looks < 3 else 0.03) * d + 0.2
  np.testing.assert_allclose(found.points, true['points'], atol=near)
  box = [*true['outline'].min(axis=0), *true['outline'].max(axis=0)]
  np.testing.assert_allclose(found.box, box, atol=0.02 * d + 0.2)
  assert (found.gesture, found.score) == ('five', 0.9)
  assert found.facing == (0.8 if looks < 3 else 0.7)
  assert found.side == ('left' if left else 'right')
  assert found.shows_palm


@pytest.mark.parametrize('shape, placing', PHOTOS)
def test_the_hand_fills_the_second_look(shape, placing):
  photo, true = paint(shape), hand(**placing)
  network = Network(photo, [true])
  find(photo, network)
  _, second = network.views
  side = np.ptp(true['outline'], axis=0).max()
  assert np.linalg.norm(second[:, 0]) * SIZE == pytest.approx(
    side / finder._FILL, rel=0.02
  )
  middle = second @ [SIZE / 2, SIZE / 2, 1]
  # The outline is symmetric about it.
  assert np.abs(middle - placing['centre']).max() < 0.02 * side


@pytest.mark.parametrize('shape, placing', PHOTOS)
@pytest.mark.parametrize('left', [True, False])
def test_the_palm_stands_upright_in_the_third_look(shape, placing, left):
  photo, true = paint(shape), hand(**placing, left=left)
  reader, views = stand_in_reader(photo, [true])
  find(photo, Network(photo, [true]), looks=3, reader=reader)
  assert len(views) == 2
  c, s = np.cos(placing['angle']), np.sin(placing['angle'])
  scale = palm_frame.SIDE * placing['d'] / READ
  np.testing.assert_allclose(
    views[-1][:, :2] / scale, [[c, -s], [s, c]], atol=0.03
  )


def test_closer_looks_lower_the_error():
  """An error of two pixels of the view is less of a photo seen from near."""
  shape, placing = PHOTOS[3]
  photo, true = paint(shape), hand(**placing)
  errors = []
  for looks in (1, 2, 3):
    (found,) = find(photo, Network(photo, [true], shake=2.0), looks=looks)
    errors.append(np.linalg.norm(found.points - true['points'], axis=-1).max())
  assert errors[0] == pytest.approx(2 * 2100 / SIZE, rel=0.05)
  side = np.ptp(true['outline'], axis=0).max() / finder._FILL
  assert errors[1] == pytest.approx(2 * side / SIZE, rel=0.1)
  # The reader knows.
  assert errors[2] < 0.05 * placing['d']


def test_what_a_closer_look_does_not_see_stays():
  shape, placing = PHOTOS[0]
  photo, true = paint(shape), hand(**placing)
  (first,) = find(photo, Network(photo, [true]), looks=1)
  (kept,) = find(photo, Network(photo, [true], only=(1,)))
  np.testing.assert_array_equal(kept.box, first.box)
  np.testing.assert_array_equal(kept.points, first.points)

  # Another hand elsewhere is not taken for it.
  class Elsewhere(Network):
    def __call__(self, images):
      if self.views:
        self.found = [hand(**{**placing, 'centre': (600, 350)})]
      return super().__call__(images)

  (kept,) = find(photo, Elsewhere(photo, [true]))
  np.testing.assert_array_equal(kept.points, first.points)
  # Nor is the frame of a hand that the reader sees far away.
  far = hand(**{**placing, 'centre': (600, 350)})
  reader, _ = stand_in_reader(photo, [far])
  (kept,) = find(photo, Network(photo, [true]), looks=3, reader=reader)
  np.testing.assert_allclose(kept.points, first.points, atol=2.0)


def test_a_third_look_changes_frame_and_facing_and_fists_have_none():
  shape, placing = PHOTOS[1]
  photo = paint(shape)
  true, fist = hand(**placing), hand(**placing, label=FIST)
  second = find(photo, Network(photo, [true], shake=1.0), looks=2)[0]
  third = find(photo, Network(photo, [true], shake=1.0), looks=3)[0]
  assert np.abs(third.points - second.points).max() > 0.5
  assert third.box.tolist() == second.box.tolist()
  assert third[1:3] == second[1:3]
  assert (second.facing, third.facing) == (0.8, 0.7)
  reader, views = stand_in_reader(photo, [fist])
  network = Network(photo, [fist])
  (found,) = find(photo, network, looks=3, reader=reader)
  assert (len(network.views), len(views)) == (2, 0)
  assert (found.framed, found.shows_palm, found.side) == (False, False, None)


def test_one_hand_is_told_once_and_the_best_first():
  photo = paint((600, 900))
  left, right = (
    {'angle': 0.2, 'd': 50.0, 'centre': centre}
    for centre in ((230, 300), (640, 300))
  )
  network = Network(
    photo,
    [
      hand(**left, score=0.5),
      # The same hand, taken for another gesture.
      hand(**left, score=0.4, label=FIST),
      hand(**right, score=0.8, facing=0.1),
      hand(**right, score=0.29),
      hand(angle=0.0, d=10.0, centre=(450, 100), score=0.2),
    ],
  )
  found = find(photo, network, looks=2)
  assert [one.score for one in found] == [0.8, 0.5]
  # The back of a right hand lies as the palm of a left one.
  assert [one.side for one in found] == ['right', 'left']
  assert [one.shows_palm for one in found] == [False, True]
  assert len(find(photo, network, looks=1, score=0.1)) == 3
  assert find(photo, network, score=0.95) == []


@pytest.mark.parametrize('looks', [1, 2, 3])
@pytest.mark.parametrize('closer', [0.25, 0.35])
def test_a_hand_half_seen_needs_a_closer_look(looks, closer):
  shape, placing = PHOTOS[0]
  photo, true = paint(shape), hand(**placing, score=0.2)

  class Surer(Network):
    def __call__(self, images):
      if self.views:
        self.found = [{**true, 'score': closer}]
      return super().__call__(images)

  found = find(photo, Surer(photo, [true]), looks=looks)
  assert [one.score for one in found] == (
    [closer] if closer > 0.3 and looks > 1 else []
  )
  # It was not worth a look.
  faint = Surer(photo, [true | {'score': 0.1}])
  assert find(photo, faint, looks=looks) == []
  assert len(faint.views) == 1


def test_boxes_end_at_the_border_and_grey_holds_no_hand():
  photo = paint((100, 400))
  edge = hand(angle=0.0, d=40.0, centre=(395, 50))
  outside = hand(angle=0.0, d=5.0, centre=(200, 150))
  (found,) = find(photo, Network(photo, [edge, outside]), looks=1)
  assert found.box[2] == 400
  assert found.box[1] == 0
  assert found.box[3] == 100


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
    finder.find(None, image, classes=CLASSES, size=SIZE, **options)


def test_no_weights_and_no_detector(tmp_path, monkeypatch):
  monkeypatch.setattr(shipped, 'HAND', tmp_path / 'none')
  with pytest.raises(FileNotFoundError, match='holds no weights: install'):
    finder.load()
  export.save(
    tmp_path, variables={}, model={'name': 'mobilefacenet'}, preprocess={}
  )
  with pytest.raises(
    ValueError, match='holds a palm network; give the export of a hand d'
  ):
    finder.load(tmp_path)
  with pytest.raises(
    ValueError, match='holds a palm network; give the export of a reader'
  ):
    finder.load(DETECTOR, palm_frame=tmp_path)
  monkeypatch.setattr(shipped, 'PALM_FRAME', tmp_path / 'none')
  with pytest.raises(FileNotFoundError, match='holds no weights: install'):
    finder.load(DETECTOR)
  # Two looks need none.
  assert finder.load(DETECTOR, looks=2)


def test_gestures_of_open_hands_are_those_that_are_drawn():
  assert set(finder.OPEN_GESTURES) <= set(hands.GESTURES)


def test_palms_of_a_photo():
  shape, placing = PHOTOS[0]
  photo = paint(shape)
  here, there = hand(**placing), hand(**{**placing, 'centre': (800, 350)})

  def palm(*found):
    network = Network(photo, found)
    return palm_files.find_palm(
      lambda image: find(image, network), photo, size=32
    )

  got = palm(here, there | {'score': 0.95})
  assert (got.image.shape, got.palms, got.hand.score) == ((32, 32, 3), 2, 0.95)
  # Which tells x: the palm on the right was taken.
  assert 255 * 0.75 < got.image[..., 0].mean() < 255 * 0.85
  # A better hand that shows no palm is left out.
  got = palm(here, there | {'score': 0.95, 'facing': 0.2})
  assert (got.palms, got.hand.score) == (1, 0.9)
  for found, message in (
    ([], 'no hand found; show a whole hand'),
    ([here | {'class': FIST}], "no palm found, but 'fist'; show an open"),
    ([here | {'facing': 0.2}], "no palm found, but the back of 'five'"),
    ([hand(angle=0.0, d=60.0, centre=(1015, 350))], 'most of the palm lies'),
  ):
    with pytest.raises(ValueError, match=message):
      palm(*found)


@pytest.mark.slow
def test_palms_of_drawn_hands_are_those_of_the_identities():
  """Left and right hands at any rotation, in photos of several shapes."""
  key, identities = jax.random.key(3), np.arange(6) + 20
  drawn = jax.device_get(
    hands.draw_batch(
      key,
      np.arange(6),
      size=192,
      difficulty=0.0,
      count=1,
      gesture=hands.GESTURES.index('five'),
      facing=True,
      angle=np.linspace(-3, 2, 6),
      identity=identities,
    )
  )
  flat = palms.draw_batch(key, identities, 0 * identities, size=48)
  rois = []
  for i, image in enumerate(drawn['image']):
    photo = np.pad(image, [(40 * i, 0), (0, 25 * i), (0, 0)])
    true = finder.Hand(
      drawn['boxes'][i, 0],
      'five',
      0.9,
      drawn['points'][i, 0] + [0, 40 * i],
      1.0,
    )
    assert true.side == ('left' if identities[i] % 2 == 0 else 'right')
    found = palm_files.find_palm(lambda _, hand=true: [hand], photo, size=48)
    rois.append(found.image)
  lines = [
    np.asarray(_creases(np.stack(images)))[:, 4:-4, 4:-4].reshape(6, -1)
    for images in (rois, np.asarray(flat))
  ]
  likeness = np.corrcoef(*lines)[:6, 6:]
  # A thumb lies over one of the palms.
  assert np.sum(likeness.argmax(axis=1) == np.arange(6)) >= 5
  assert np.median(np.diag(likeness)) > 0.2
  assert np.abs(likeness - np.diag(np.diag(likeness))).mean() < 0.08


@jax.jit
def _creases(images):
  grey = contrast.grey(images / np.float32(127.5) - 1)
  return contrast.normalise(blur.gaussian(grey, 1.0, border='reflect'))


def fresh_detector():
  """A small network's variables as they are drawn, and its description."""
  sizes = {
    'name': 'detector',
    'classes': list(CLASSES),
    'width': 0.25,
    'depth': 0,
    'level': 1,
    'factor': 1,
    'dtype': 'float32',
  }
  model = hand_networks.build(sizes)
  variables = jax.jit(
    lambda key: model.init(key, np.zeros((1, 32, 32, 3)), train=False)
  )(jax.random.key(0))
  # Copies that may be changed.
  return jax.tree.map(np.array, variables), sizes


def test_a_real_network_is_loaded_and_looks(tmp_path):
  """Weights as they were drawn, but that everything is 16 pixels wide."""
  variables, sizes = fresh_detector()
  variables['params']['Head_0']['size']['bias'] += 0.25
  export.save(
    tmp_path,
    variables=variables,
    model=sizes,
    preprocess=hand_networks.HandInput(image_size=32).to_json(),
  )
  find = finder.load(tmp_path, looks=1, score=0.05)
  found = find(paint((40, 80)))
  assert found
  scores = [one.score for one in found]
  assert scores == sorted(scores, reverse=True)
  for one in found:
    assert one.gesture in CLASSES
    # The photo is 32 pixels wide for the network.
    inside = (one.box > 0) & (one.box < [80, 40, 80, 40])
    if inside.all():
      np.testing.assert_allclose(one.box[2:] - one.box[:2], 40, atol=2)


def test_the_sizes_of_the_export_are_looked_at(tmp_path):
  """Only in use: training and its reports have one view of an image."""
  variables, sizes = fresh_detector()
  photo = np.random.default_rng(0).integers(0, 256, (1, 96, 96, 3), np.uint8)
  scores = {}
  for smaller in (None, [], [0.7]):
    preprocess = hand_networks.HandInput(image_size=96).to_json()
    if smaller is not None:
      preprocess['smaller'] = smaller
    export.save(
      tmp_path,
      variables=variables,
      model=sizes,
      preprocess=preprocess,
    )
    for views in (False, True):
      network = hand_networks.load(tmp_path, passes=views)
      scores[str(smaller), views] = network.detect(photo)['scores']
  alone = scores['None', False]
  for smaller in ('[]', '[0.7]'):
    np.testing.assert_array_equal(scores[smaller, False], alone)
  np.testing.assert_array_equal(scores['None', True], scores['[]', True])
  assert np.abs(scores['[]', True] - alone).max() > 1e-4
  assert np.abs(scores['[]', True] - scores['[0.7]', True]).max() > 1e-4


@pytest.mark.parametrize('spread, framed', [(0.12, False), (0.2, True)])
def test_valleys_that_nearly_meet_are_not_those_of_a_palm(spread, framed):
  side = 50.0
  points = np.array([[20, 30], [20 + spread * side, 30], [25, 60]])
  hand = finder.Hand(
    np.array([0, 0, 2 * side, side / 2]), 'five', 0.9, points, 0.9
  )
  assert (hand.framed, hand.shows_palm) == (framed, framed)


def test_closer_looks_show_hands_as_large_as_in_training():
  least, most = box_augment.CLOSER_FILL
  assert 1.2 * least < finder._FILL < most / 1.2


@pytest.fixture(scope='module')
def drawn_palms():
  """Open palms at any rotation, each alone, of a seed that no training had."""
  count = 8
  pins = hand_images.open_palms(jax.random.key(501), count)
  return hand_images.draw(
    jax.random.key(500), count, size=192, difficulty=0.3, **pins
  )


@pytest.mark.slow
def test_the_shipped_detector_finds_open_palms(drawn_palms):
  """Not all that it should: a broken file or another scale would find none."""
  find = finder.load()
  known = drawn_palms['valid'] & drawn_palms['framed'] & drawn_palms['facing']
  errors = []
  for i, k in np.argwhere(known):
    seen = [hand for hand in find(drawn_palms['image'][i]) if hand.shows_palm]
    errors += list(
      palm_frames.errors(
        (drawn_palms['boxes'][i, [k]], drawn_palms['points'][i, [k]]),
        (
          np.array([hand.box for hand in seen]).reshape(-1, 4),
          np.array([hand.points for hand in seen]).reshape(-1, 3, 2),
        ),
      )
    )
  assert len(errors) >= 6
  assert np.isfinite(errors).sum() >= len(errors) - 1
  assert np.median(errors) < 0.04

"""The finder with networks that are loaded, and palms of photos."""

import jax
import numpy as np
import pytest

from palmjax.data.augment import boxes as box_augment
from palmjax.data.hands import hands
from palmjax.data.palms import palms
from palmjax.evals.detection import palm_frames
from palmjax.inference import finder, palm_files
from palmjax.networks import export, shipped
from palmjax.networks import hand as hand_networks
from palmjax.ops import blur, contrast
from palmjax.recipes.shared import hand_images
from tests.inference import painted_hands

DETECTOR = shipped.HAND


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
  shape, placing = painted_hands.PHOTOS[0]
  photo = painted_hands.paint(shape)
  here, there = (
    painted_hands.hand(**placing),
    painted_hands.hand(**{**placing, 'centre': (800, 350)}),
  )

  def palm(*seen):
    network = painted_hands.Network(photo, seen)
    return palm_files.find_palm(
      lambda image: painted_hands.find(image, network), photo, size=32
    )

  got = palm(here, there | {'score': 0.95})
  assert (got.image.shape, got.palms, got.hand.score) == ((32, 32, 3), 2, 0.95)
  # Which tells x: the palm on the right was taken.
  assert 255 * 0.75 < got.image[..., 0].mean() < 255 * 0.85
  # A better hand that shows no palm is left out.
  got = palm(here, there | {'score': 0.95, 'facing': 0.2})
  assert (got.palms, got.hand.score) == (1, 0.9)
  for seen, message in (
    ([], 'no hand found; show a whole hand'),
    (
      [here | {'class': painted_hands.FIST}],
      "no palm found, but 'fist'; show an open",
    ),
    ([here | {'facing': 0.2}], "no palm found, but the back of 'five'"),
    (
      [painted_hands.hand(angle=0.0, d=60.0, centre=(1015, 350))],
      'most of the palm lies',
    ),
  ):
    with pytest.raises(ValueError, match=message):
      palm(*seen)


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
    palm = palm_files.find_palm(lambda _, hand=true: [hand], photo, size=48)
    rois.append(palm.image)
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
    'classes': list(painted_hands.CLASSES),
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


@pytest.mark.slow
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
  hands_seen = find(painted_hands.paint((40, 80)))
  assert hands_seen
  scores = [one.score for one in hands_seen]
  assert scores == sorted(scores, reverse=True)
  for one in hands_seen:
    assert one.gesture in painted_hands.CLASSES
    # The photo is 32 pixels wide for the network.
    inside = (one.box > 0) & (one.box < [80, 40, 80, 40])
    if inside.all():
      np.testing.assert_allclose(one.box[2:] - one.box[:2], 40, atol=2)


@pytest.mark.slow
def test_the_sizes_of_the_export_are_looked_at(tmp_path):
  """Only in use: training and its reports have one pass over an image."""
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
    for passes in (False, True):
      network = hand_networks.load(tmp_path, passes=passes)
      scores[str(smaller), passes] = network.detect(photo)['scores']
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
  assert 1.2 * least < finder.FILL < most / 1.2


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

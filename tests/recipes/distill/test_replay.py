"""The life of a device: who meets it, what it keeps, how it is tested."""

import types

import jax
import ml_collections
import numpy as np
import pytest

from configs import distill as distill_config
from palmjax.edge import update
from palmjax.evals import bootstrap
from palmjax.evals.recognition import chosen_pairs
from palmjax.networks import palm
from palmjax.recipes.distill import device_tests, replay
from palmjax.recipes.shared import palm_images

IDENTITIES, EACH, SIDE = 8, 6, 4


@pytest.fixture(scope='module')
def part():
  """Palms of one bright pixel each, whose place tells who it is."""
  labels = np.repeat(np.arange(IDENTITIES), EACH).astype(np.int32)
  images = np.zeros((len(labels), SIDE * SIDE, 3), np.uint8)
  brightness = 200 - 10 * np.tile(np.arange(EACH), IDENTITIES)
  images[np.arange(len(labels)), labels] = brightness[:, None]
  images = images.reshape(-1, SIDE, SIDE, 3)
  names = tuple(map(str, range(IDENTITIES)))
  return palm_images.Part(images, labels, names, 0 * labels)


@pytest.fixture(scope='module')
def everyone(part):
  return device_tests.people(part, part.images, fmr=0.1)


@pytest.fixture
def config():
  config = replay.settings_of(distill_config.get_config())
  config.drift = {'light': 0.0, 'dryness': 0.0, 'camera': 0.0}
  return config


@pytest.fixture(autouse=True)
def threshold(monkeypatch):
  """Eight palms of a server set none."""
  monkeypatch.setattr(device_tests, 'threshold', lambda *_: 0.6)


def embed(images):
  """Pixels and a constant: two images of a palm have about 1, two palms 0.1."""
  flat = np.asarray(images, np.float32).reshape(len(images), -1)
  flat = np.concatenate([flat, np.full((len(flat), 1), 120.0)], axis=1)
  return flat / np.linalg.norm(flat, axis=1, keepdims=True)


NETWORK = types.SimpleNamespace(embed=embed)


def test_nobody_has_two_parts(part, everyone):
  assert len(everyone.references) == IDENTITIES // 2
  assert everyone.captures.shape[:2] == everyone.tests.shape[:2] == (4, 2)
  assert len(everyone.strangers) == 4 * EACH
  assert list(np.unique(everyone.stranger_labels)) == [0, 1, 2, 3]
  # Each image of a user has one part.
  numbered = palm_images.Part(
    np.arange(len(part.labels))[:, None, None, None],
    part.labels,
    part.identities,
    part.sessions,
  )
  split = device_tests.people(numbered, part.images, fmr=0.1)
  numbers = np.concatenate(
    [np.ravel(images) for images in split[:4]] + [np.ravel(split.strangers)]
  )
  assert sorted(numbers) == list(range(len(part.labels)))


def test_a_life_takes_four_images(part):
  few = palm_images.Part(
    part.images[: EACH + 3],
    np.repeat(np.array([0, 1], np.int32), [3, EACH]),
    part.identities[:2],
    part.sessions,
  )
  with pytest.raises(ValueError, match='has 3 images; the life of a device'):
    device_tests.people(few, part.images, fmr=0.1)


def test_few_palms_of_the_server_set_no_low_rate(part):
  with pytest.raises(ValueError, match=r'fmr=0\.001: the 8 palms .* 28 pairs'):
    device_tests.people(part, part.images[::EACH], fmr=1e-3)


def test_tests_are_of_every_user_and_every_stranger(everyone, config):
  pairs, threshold = device_tests.measure(
    NETWORK, everyone, config, jax.random.key(0), amount=0.0
  )
  np.testing.assert_allclose(pairs.genuine, 1, rtol=0.05)
  assert list(pairs.genuine_identity) == [0, 0, 1, 1, 2, 2, 3, 3]
  assert len(pairs.impostor) == 4 * EACH * 4
  assert pairs.impostor_identity[0].min() == 4
  assert pairs.impostor.max() < threshold


def test_rates_of_the_moments():
  users = np.repeat(np.arange(6), 4)
  strangers = np.stack([np.repeat(np.arange(6, 12), 6), np.tile(range(6), 6)])

  def moment(missed):
    genuine = np.where(np.arange(24) % 4 < missed, 0.1, 0.9)
    return chosen_pairs.ChosenPairs(
      genuine, np.linspace(0, 0.4, 36), users, strangers
    ), 0.5

  moments = {
    device_tests.BEFORE: moment(0),
    device_tests.DRIFTED: moment(2),
    'device_both': moment(1),
  }
  measured = device_tests.rates(
    moments, resampling=bootstrap.Resampling(draws=50)
  )
  assert [m['fnmr']['value'] for m in measured.values()] == [0, 0.5, 0.25]
  assert measured['device_both']['fmr']['value'] == 0
  assert measured['device_both']['recovered']['value'] == 0.5
  assert 'recovered' not in measured[device_tests.DRIFTED]


def test_the_teacher_labels_by_the_references(everyone, config):
  config.scale = 8.0
  samples = replay.label(
    NETWORK, everyone.references, everyone.captures[:, 0], config
  )
  assert list(samples.labels) == [0, 1, 2, 3]
  assert samples.has_soft.all()
  np.testing.assert_allclose(samples.soft.sum(axis=1), 1, rtol=1e-5)
  cosines = embed(everyone.captures[:, 0]) @ embed(everyone.references).T
  want = np.exp(8 * cosines)
  np.testing.assert_allclose(
    samples.soft, want / want.sum(axis=1, keepdims=True), rtol=1e-4
  )


@pytest.fixture
def lives(monkeypatch, everyone, config):
  """Lives a device with a network of pixels; also what updates were given."""
  given = []

  def record(network, references, samples, settings, key, *, augment):
    given.append((samples, settings))
    return network, {'loss': 1.0}

  monkeypatch.setattr(update, 'update', record)
  monkeypatch.setattr(palm, 'load', lambda directory: NETWORK)
  monkeypatch.setattr(palm, 'whole', lambda export, directory: NETWORK)
  monkeypatch.setattr(palm, 'at_exit', lambda network, number: network)
  monkeypatch.setattr(
    replay.exports, 'load', lambda _: types.SimpleNamespace(model={'exit': 1})
  )

  def lives(arm, **changes):
    given.clear()
    settings = ml_collections.ConfigDict(config.to_dict() | changes)
    history, _, _ = replay.live(
      'student', 'teacher', everyone, settings, jax.random.key(0), arm=arm
    )
    return history, list(given)

  return lives


def test_what_is_kept_is_trained_on_and_then_forgotten(lives):
  history, given = lives(
    'both', interval=(0.0, 0.999999), enough=3, sessions=2, failures=1
  )
  assert [row['updated'] for row in history] == [True, True]
  for samples, _ in given:
    assert len(samples.labels) == 8
    assert list(samples.labels) == [0, 0, 1, 1, 2, 2, 3, 3]
    assert not samples.has_soft.any()


def test_failures_are_labelled_by_the_teacher_unless_the_arm_forbids(
  lives, monkeypatch
):
  # A threshold that nothing passes.
  monkeypatch.setattr(device_tests, 'threshold', lambda *_: 0.999999999)
  embed_noisily = lambda images: embed(  # noqa: E731
    np.clip(images.astype(int) + np.arange(3), 0, 255)
  )
  monkeypatch.setattr(NETWORK, 'embed', embed_noisily)
  history, given = lives('first_only', enough=1, sessions=1, failures=2)
  assert (history[0]['first'], given) == (0, [])


@pytest.mark.parametrize('arm', sorted(replay.ARMS))
def test_each_arm_changes_one_thing(arm, lives):
  _, given = lives(arm, interval=(0.0, 0.999999), enough=1, sessions=1)
  ((samples, settings),) = given
  plain = update.Settings(margin=0.3, scale=32.0)
  changed = {
    name
    for name in ('alpha', 'beta', 'statistics_only')
    if getattr(settings, name) != getattr(plain, name)
  }
  assert changed == {
    'no_fused': {'alpha'},
    'no_one_to_many': {'beta'},
    'statistics': {'statistics_only'},
  }.get(arm, set())
  wrong = np.mean(samples.labels != np.repeat(np.arange(4), 2))
  assert (wrong > 0) <= arm.startswith('labels')

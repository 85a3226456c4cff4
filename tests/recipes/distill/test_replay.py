"""The life of a device: what it keeps, and when its student is replaced."""

import types

import jax
import ml_collections
import numpy as np
import pytest

from configs import distill as distill_config
from palmjax.edge import update
from palmjax.networks import palm
from palmjax.recipes.distill import device_tests, replay, sessions
from tests.recipes.distill import pixel_palms

USERS = pixel_palms.USERS


@pytest.fixture(scope='module')
def everyone():
  return device_tests.people(
    pixel_palms.part(),
    pixel_palms.part().images,
    np.full((3, 4, 4, 3), 77, np.uint8),
    fmr=0.1,
  )


@pytest.fixture
def config():
  config = replay.settings_of(distill_config.get_config())
  config.drift = {'light': 0.0, 'dryness': 0.0, 'camera': 0.0}
  config.interval = (0.0, 0.999999)
  config.sessions = 2
  config.enough = 1
  return config


@pytest.fixture
def threshold(monkeypatch):
  """Sets the threshold of every network."""

  def threshold(cosine):
    monkeypatch.setattr(device_tests, 'threshold', lambda *_: cosine)

  threshold(0.6)
  return threshold


@pytest.fixture
def live(monkeypatch, everyone, config, threshold):
  """Lives with a network of pixels; also gives what updates were given."""
  given = []
  network = types.SimpleNamespace(embed=pixel_palms.embed)

  def record(network, references, samples, settings, key, **others):
    # What sets the threshold is not trained on.
    np.testing.assert_array_equal(others['strangers'], everyone.rehearsed)
    given.append((samples, settings))
    return record.trained, {'loss': 1.0}

  record.trained = network
  monkeypatch.setattr(update, 'update', record)
  monkeypatch.setattr(palm, 'load', lambda directory: network)
  monkeypatch.setattr(palm, 'whole', lambda export, directory: network)
  monkeypatch.setattr(palm, 'at_exit', lambda network, number: network)
  monkeypatch.setattr(
    replay.exports, 'load', lambda _: types.SimpleNamespace(model={'exit': 1})
  )

  def live(arm, trained=network, **changes):
    given.clear()
    record.trained = trained
    settings = ml_collections.ConfigDict(config.to_dict() | changes)
    history, student, _ = replay.live(
      'student', 'teacher', everyone, settings, jax.random.key(0), arm=arm
    )
    return history, student, list(given)

  return live


def test_what_is_kept_is_trained_on_once(live, everyone):
  history, _, given = live('both')
  assert [row['updates'] for row in history] == [1, 1]
  captures = everyone.captures.shape[1] // 2
  seen = []
  for row, (samples, _) in zip(history, given, strict=True):
    # One in five is held out for the check.
    assert len(samples.labels) == row['first'] - row['first'] // 5
    assert row['first'] == USERS * captures
    assert row['first_wrong'] == row['second'] == 0
    assert not samples.has_soft.any()
    seen += [image.tobytes() for image in samples.images]
  assert len({*seen}) == len(seen)


def test_the_placebo_keeps_samples_and_learns_from_the_enrolled(live, everyone):
  history, _, given = live('placebo')
  assert [row['updates'] for row in history] == [1, 1]
  assert all(row['first'] for row in history)
  for samples, _ in given:
    np.testing.assert_array_equal(samples.images, everyone.references)
    assert samples.labels.tolist() == list(range(USERS))


def test_what_was_refused_waits_for_the_next_update(live):
  worse = types.SimpleNamespace(
    embed=lambda images: np.roll(pixel_palms.embed(images), 1, axis=0)
  )
  history, student, given = live('both', trained=worse)
  assert [(row['updates'], row['refused']) for row in history] == [(0, 1)] * 2
  assert student is not worse
  first, second = (len(samples.labels) for samples, _ in given)
  assert second > first


def test_a_loss_that_is_no_number_ends_no_life(live, monkeypatch):
  def fail(*args, **options):
    raise update.NotFiniteError('the loss is not finite')

  monkeypatch.setattr(update, 'update', fail)
  history, _, _ = live('both')
  assert [row['refused'] for row in history] == [1, 1]


def test_failures_are_labelled_by_the_teacher_unless_the_arm_forbids(
  live, monkeypatch, everyone
):
  # Nobody passes the student; the teacher knows everybody again.
  monkeypatch.setattr(
    sessions.rules, 'passes', lambda value, preset: value > 100
  )
  history, _, given = live('both', failures=2)
  for row, (samples, _) in zip(history, given, strict=True):
    # Of two captures of a session the second one.
    assert row['first'] == 0 < row['second'] == USERS == len(samples.labels)
    assert row['second_wrong'] == 0
    assert samples.has_soft.all()
    np.testing.assert_array_equal(samples.labels, np.arange(USERS))
  np.testing.assert_array_equal(given[0][0].images, everyone.captures[:, 1])
  history, _, given = live('first_only', failures=2)
  assert given == []
  assert [row['second'] for row in history] == [0, 0]


def test_the_teacher_refuses_strangers(everyone, config, threshold):
  teacher = types.SimpleNamespace(embed=pixel_palms.embed)
  failed = [(image, k) for k, image in enumerate(everyone.captures[:, 0])]
  failed += [(image, sessions.STRANGER) for image in everyone.passers[:, 0]]
  config.scale = 8.0
  labelled = sessions.label(teacher, everyone, failed, config)
  np.testing.assert_array_equal(labelled.truth, np.arange(USERS))
  np.testing.assert_array_equal(labelled.samples.labels, np.arange(USERS))
  references = pixel_palms.embed(everyone.references)
  want = np.exp(8 * pixel_palms.embed(everyone.captures[:, 0]) @ references.T)
  np.testing.assert_allclose(
    labelled.samples.soft, want / want.sum(axis=1, keepdims=True), rtol=1e-4
  )
  threshold(0.0)
  labelled = sessions.label(teacher, everyone, failed, config)
  assert sessions.wrong(labelled) == len(everyone.passers)


def test_strangers_who_pass_are_kept_as_somebody(live, threshold):
  threshold(0.0)
  history, _, _ = live('both')
  assert history[0]['first_wrong'] > 0


@pytest.mark.parametrize('share', [0.0, 0.5, 1.0])
def test_labels_are_made_wrong(share, everyone):
  count = 400
  labels = np.arange(count) % USERS
  samples = update.Samples(*np.zeros((4, count)))._replace(labels=labels)
  kept = sessions.mislabelled(
    sessions.Kept(samples, labels), everyone, share, jax.random.key(0), 0
  )
  assert sessions.wrong(kept) == pytest.approx(share * count, abs=40)
  assert sessions.wrong(sessions.Kept(samples, labels)) == 0


@pytest.mark.parametrize('arm', sorted(replay.ARMS))
def test_each_arm_changes_one_thing(arm, live, config):
  _, _, given = live(arm)
  changed = {
    name
    for name in ('alpha', 'beta', 'statistics_only')
    if getattr(given[0][1], name) != config.get(name, False)
  }
  assert changed == {
    'no_fused': {'alpha'},
    'no_one_to_many': {'beta'},
    'statistics': {'statistics_only'},
  }.get(arm, set())


def test_no_session_is_without_captures(everyone, config):
  config.sessions = 5
  with pytest.raises(ValueError, match='sessions=5: there are 4 captures'):
    replay.require(everyone, config)

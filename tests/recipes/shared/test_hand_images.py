"""Drawn sets of the recipe `gesture`: what is asked for, and asked for once."""

import jax
import numpy as np
import pytest

from configs import gesture as gesture_config
from palmjax.data.hands import hands
from palmjax.recipes.shared import hand_images

KEY = jax.random.key(3)


@pytest.fixture
def asked(monkeypatch):
  """Calls of `draw`, which returns noise of the right shapes at once."""
  calls = []

  def draw(key, number, *, size, difficulty, **pins):
    calls.append((number, size, difficulty, pins))
    seed = int(jax.random.key_data(key)[-1]) + number
    generator = np.random.default_rng(seed)
    return {
      'image': generator.integers(0, 256, (number, size, size, 3), np.uint8),
      'boxes': generator.random((number, 3, 4), np.float32),
      'classes': np.zeros((number, 3), np.int32),
      'valid': np.ones((number, 3), bool),
      'points': generator.random((number, 3, 3, 2), np.float32),
      'framed': np.ones((number, 3), bool),
      'facing': np.ones((number, 3), bool),
    }

  monkeypatch.setattr(hand_images, 'draw', draw)
  return calls


@pytest.fixture
def config():
  config = gesture_config.get_config('smoke')
  config.data.images = 10
  config.data.evaluation_images = 4
  return config


def test_the_next_start_reads_what_was_drawn(asked, config, tmp_path):
  first = hand_images.load(config, KEY, tmp_path / 'drawn')
  assert len(asked) == 2
  again = hand_images.load(config, KEY, tmp_path / 'drawn')
  assert len(asked) == 2
  assert first.fingerprint == again.fingerprint
  for name, values in first.training.items():
    np.testing.assert_array_equal(values, again.training[name])
  # Another key, another number: other images.
  hand_images.load(config, jax.random.key(4), tmp_path / 'drawn')
  config.data.images = 11
  hand_images.load(config, KEY, tmp_path / 'drawn')
  assert len(asked) == 5


def test_a_damaged_file_is_named(asked, config, tmp_path):
  hand_images.load(config, KEY, tmp_path)
  path = min(tmp_path.iterdir())
  path.write_bytes(path.read_bytes()[:-50])
  with pytest.raises(ValueError, match=f'{path.name} is damaged: delete it'):
    hand_images.load(config, KEY, tmp_path)
  path.unlink()
  hand_images.load(config, KEY, tmp_path)
  assert len(asked) == 3


def test_a_share_are_open_palms_at_any_rotation(asked, config, tmp_path):
  config.data.palms = 0.3
  loaded = hand_images.load(config, KEY, tmp_path / 'drawn')
  (any_number, *_, none), (number, *_, pins), (tests, *_, test_pins) = asked
  assert (any_number, number, tests) == (7, 3, 4)
  assert none == test_pins == {}
  assert pins['facing']
  assert pins['count'] == 1
  assert hands.GESTURES[pins['gesture']] == 'five'
  assert len(loaded.training['image']) == 10


def test_open_palms_point_everywhere():
  angle = hand_images.open_palms(KEY, 400)['angle']
  assert np.abs(angle).max() <= np.pi
  counts, _ = np.histogram(angle, 8, (-np.pi, np.pi))
  assert counts.min() > 25


def test_training_images_have_more_detail_than_tests(asked, config, tmp_path):
  config.data.detail = 1.5
  loaded = hand_images.load(config, KEY, tmp_path / 'drawn')
  side = config.image_size * config.resolution.factor
  assert loaded.training['image'].shape[1] == 1.5 * side
  assert loaded.tests['']['image'].shape[1] == side

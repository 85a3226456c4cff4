"""Tests of whole pictures; one size and one batch shape, to compile once."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage

from palmjax.data.palms import palms
from tests import compilations

KEY = jax.random.key(7)
SIZE = 32
BATCH = 64


def _draw(identities, samples, difficulty, sessions=0, devices=0):
  """`draw_batch` at one shape; the arguments broadcast."""
  numbers = np.broadcast_arrays(identities, samples, sessions, devices)
  count = numbers[0].size
  padded = [np.resize(x, BATCH) for x in numbers]
  images = palms.draw_batch(
    KEY,
    padded[0],
    padded[1],
    size=SIZE,
    difficulty=difficulty,
    sessions=padded[2],
    devices=padded[3],
  )
  return np.asarray(images)[:count]


def _contrast(images):
  """Local contrast normalisation [N, pixels], unit rows."""
  gray = images.astype(np.float32) @ np.float32([0.299, 0.587, 0.114]) / 255
  sigma = 0.08 * SIZE
  high = gray - scipy.ndimage.gaussian_filter(gray, (0, sigma, sigma))
  energy = scipy.ndimage.gaussian_filter(high**2, (0, 2 * sigma, 2 * sigma))
  flat = (high / (np.sqrt(energy) + 0.01)).reshape(len(images), -1)
  flat -= flat.mean(axis=1, keepdims=True)
  return flat / np.linalg.norm(flat, axis=1, keepdims=True)


@functools.cache
def _pairs(difficulty):
  """Correlations of same-palm and of other-palm pairs, 16 palms x 4."""
  identities = np.repeat(np.arange(16), 4)
  samples = np.tile(np.arange(4), 16)
  x = _contrast(_draw(identities, samples, difficulty, samples // 2))
  upper = np.triu_indices(len(x), 1)
  same = identities[upper[0]] == identities[upper[1]]
  scores = (x @ x.T)[upper]
  return scores[same], scores[~same]


@pytest.mark.slow
def test_a_picture_does_not_depend_on_its_batch():
  identities = np.arange(8)
  batch = _draw(identities, 3, 0.6)
  moved = _draw(identities[::-1], 3, 0.6)[::-1]
  np.testing.assert_array_equal(batch, moved)
  alone = jax.jit(palms.draw, static_argnames='size')(
    KEY, 5, 3, size=SIZE, difficulty=0.6, session=0, device=0
  )
  assert alone.dtype == jnp.float32
  assert float(jnp.max(jnp.abs(alone))) <= 1.0
  difference = np.asarray(alone) * 127.5 + 127.5 - batch[5]
  assert np.abs(difference).max() <= 1.0


def test_no_product_is_left_to_the_precision_of_the_device():
  draw = functools.partial(palms.draw, size=16)
  program = str(jax.make_jaxpr(draw)(KEY, 0, 0))
  products = program.count('dot_general[')
  assert program.count('(Precision.HIGHEST, Precision.HIGHEST)') == products > 9


def test_compiles_once_for_all_difficulties():
  _draw(np.arange(2), 0, 0.1)
  with compilations.counted() as programs:
    for difficulty in (0, 1.0):
      _draw(np.arange(2), 0, difficulty)
  assert programs == []


def test_same_palm_correlates_more_than_another():
  same, other = _pairs(0.35)
  assert np.median(same) > np.median(other) + 0.3
  assert np.percentile(same, 25) > np.percentile(other, 95)


def test_difficulty_orders_the_samples():
  medians = [np.median(_pairs(d)[0]) for d in (0.0, 0.2, 0.35, 0.5)]
  assert medians[0] > 0.9
  assert all(a > b + 0.05 for a, b in itertools.pairwise(medians))


def test_right_palms_are_mirrored():
  # Lines favour places, so the mean left palm resembles the mirrored mean right
  # palm more than the plain one (.35 and .23: light falls the same on both).
  identities = np.arange(4 * BATCH).reshape(4, BATCH)
  images = [_contrast(_draw(row, 0, 0.0)) for row in identities]
  mean = [np.mean([x[side::2] for x in images], (0, 1)) for side in (0, 1)]
  left, right = (x.reshape(SIZE, SIZE) for x in mean)
  plain = np.corrcoef(left.ravel(), right.ravel())[0, 1]
  mirrored = np.corrcoef(left.ravel(), right[:, ::-1].ravel())[0, 1]
  assert mirrored > plain + 0.07


def test_both_palms_of_a_person_share_skin():
  color = _draw(np.arange(BATCH), 0, 0.0).mean(axis=(1, 2))
  same = np.linalg.norm(color[0::2] - color[1::2], axis=1)
  other = np.linalg.norm(color[0:-2:2] - color[3::2], axis=1)
  assert np.median(same) < 0.25 * np.median(other)


def test_sessions_share_pose_and_light():
  # Same device, same palms; samples 0 and 1 in one session or in two.
  identities = np.arange(32)
  first = _draw(identities, 0, 0.7, sessions=0)
  together = _draw(identities, 1, 0.7, sessions=0)
  apart = _draw(identities, 1, 0.7, sessions=1)
  score = [
    np.mean(np.sum(_contrast(first) * _contrast(x), axis=1))
    for x in (together, apart)
  ]
  assert score[0] > score[1] + 0.05


def test_a_device_is_the_same_for_all_palms():
  # Its colour balance shifts every palm's colour in about the same direction.
  identities = np.arange(32)
  one, two = (
    _draw(identities, 0, 1.0, devices=v).mean(axis=(1, 2)) for v in (0, 1)
  )
  shift = (one - one.mean(axis=1, keepdims=True)) - (
    two - two.mean(axis=1, keepdims=True)
  )
  assert np.linalg.norm(shift.mean(axis=0)) > 3 * np.linalg.norm(
    shift.std(axis=0) / np.sqrt(len(shift))
  )


def test_defaults_group_samples_into_sessions_and_devices():
  samples = np.arange(BATCH)
  plain = palms.draw_batch(
    KEY, np.zeros(BATCH, int), samples, size=SIZE, difficulty=0.5
  )
  sessions = samples // palms.SAMPLES_PER_SESSION
  spelled = _draw(0, samples, 0.5, sessions, sessions % palms.DEVICES)
  np.testing.assert_array_equal(plain, spelled)


def test_draw_set_is_the_same_in_any_batches():
  images, identities, samples = palms.draw_set(
    KEY, [3, 8, 9], 30, size=SIZE, difficulty=0.4, batch_size=BATCH
  )
  assert images.shape == (90, SIZE, SIZE, 3)
  assert images.dtype == np.uint8
  np.testing.assert_array_equal(identities, np.repeat([3, 8, 9], 30))
  np.testing.assert_array_equal(samples, np.tile(np.arange(30), 3))
  session = samples // palms.SAMPLES_PER_SESSION
  chosen = np.array([0, 29, 30, 63, 64, 89])
  expected = _draw(
    identities[chosen],
    samples[chosen],
    0.4,
    session[chosen],
    session[chosen] % palms.DEVICES,
  )
  np.testing.assert_array_equal(images[chosen], expected)


def test_pictures_use_the_range_and_are_not_flat():
  images = _draw(np.arange(BATCH), 0, 0.5).astype(np.float32)
  level = images.mean(axis=(1, 2, 3))
  assert level.max() - level.min() > 70  # From dark skin to light skin.
  assert np.all(images.std(axis=(1, 2)).max(axis=1) > 4)
  red, green, blue = images.mean(axis=(0, 1, 2))
  assert red > green > blue


@pytest.mark.parametrize('difficulty', [-0.1, 1.5])
def test_rejects_a_difficulty_out_of_range(difficulty):
  with pytest.raises(ValueError, match='within'):
    palms.draw_batch(KEY, [0], [0], size=SIZE, difficulty=difficulty)


def test_rejects_a_size_too_small():
  with pytest.raises(ValueError, match='at least 16'):
    palms.draw_batch(KEY, [0], [0], size=8)

"""Light, covers and block coding."""

import jax
import numpy as np
import pytest

from palmjax.data.palms import camera

BLOCK_CODING = jax.jit(camera.block_coding)
COVER = jax.jit(camera.cover)
DEVELOP = jax.jit(camera.develop)


def _image(size, seed=0):
  rng = np.random.default_rng(seed)
  return rng.uniform(0.2, 0.8, (size, size, 3)).astype(np.float32)


@pytest.mark.parametrize('size', [16, 21])
def test_block_coding_equals_a_loop_over_blocks(size):
  image, strength = _image(size), 0.7
  coded = BLOCK_CODING(image, strength)
  pad = -size % 8
  padded = np.pad(image, ((0, pad), (0, pad), (0, 0)), mode='edge')
  matrix = np.array(
    [
      [0.299, 0.587, 0.114],
      [-0.168736, -0.331264, 0.5],
      [0.5, -0.418688, -0.081312],
    ]
  )
  ycc = padded @ matrix.T
  k = np.arange(8)
  dct = 0.5 * np.cos(np.pi * (2 * k + 1) * k[:, None] / 16)
  dct[0] /= np.sqrt(2)
  np.testing.assert_allclose(dct @ dct.T, np.eye(8), atol=1e-12)
  for row in range(0, size + pad, 8):
    for column in range(0, size + pad, 8):
      for channel, (low, slope) in enumerate([(10, 7), (17, 12), (17, 12)]):
        table = np.minimum(low + slope * (k[:, None] + k), 99) * strength / 255
        block = ycc[row : row + 8, column : column + 8, channel]
        steps = dct @ block @ dct.T / table
        steps -= np.sin(2 * np.pi * steps) / (2 * np.pi)
        block[:] = dct.T @ (steps * table) @ dct
  expected = (ycc @ np.linalg.inv(matrix).T)[:size, :size]
  np.testing.assert_allclose(coded, expected, atol=2e-3)


def test_weaker_coding_is_closer():
  image = _image(16)
  error = [
    np.abs(np.asarray(BLOCK_CODING(image, s)) - image).mean()
    for s in (0.02, 0.2, 1.0)
  ]
  assert error[0] < 0.003
  assert error[0] < error[1] < error[2]


def test_nothing_covers_the_palm_without_an_event():
  image = _image(24)
  shadow, occluder = np.zeros(4), np.zeros(7)
  same = COVER(image, shadow, occluder, difficulty=1.0)
  np.testing.assert_array_equal(same, image)
  shadow[0] = occluder[0] = 1.9
  easy = COVER(image, shadow, occluder, difficulty=0.0)
  np.testing.assert_array_equal(easy, image)
  hard = np.asarray(COVER(image, shadow, occluder, difficulty=1.0))
  changed = np.abs(hard - image).max(axis=-1) > 0.05
  assert 0.1 < changed.mean() < 0.6


def test_events_happen_one_time_in_ten():
  z = np.asarray(
    jax.random.truncated_normal(jax.random.key(0), -2.0, 2.0, (40000,))
  )
  assert abs((z > camera.EVENT).mean() - 0.1) < 0.006


def test_exposure_keeps_the_order_of_skin_tones():
  zeros = np.zeros(9, np.float32)
  dark, light = (
    np.asarray(
      DEVELOP(
        np.full((16, 16, 3), level, np.float32),
        zeros,
        zeros,
        jax.random.key(0),
        difficulty=0.0,
      )
    ).mean()
    for level in (0.08, 0.5)
  )
  assert -0.5 < dark < light - 0.3
  assert light < 0.8

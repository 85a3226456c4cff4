"""Correlation of palms against explicit loops in NumPy."""

import jax
import numpy as np
import pytest
from scipy import ndimage

from palmjax.inference import correlation
from palmjax.ops import contrast

all_similarities = jax.jit(correlation.all_similarities)
templates = jax.jit(correlation.templates)


def noise(*shape, seed=0):
  return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def one_way(a, b):
  """c of the module docstring for two templates."""
  centre = a[5:43, 5:43]
  best = -np.inf
  for top in range(11):
    for left in range(11):
      shifted = b[top : top + 38, left : left + 38]
      best = max(best, np.corrcoef(centre.ravel(), shifted.ravel())[0, 1])
  return best


def test_similarities_equal_loops():
  a, b = noise(2, 48, 48), noise(3, 48, 48, seed=1)
  want = [[max(one_way(x, y), one_way(y, x)) for y in b] for x in a]
  # Neither direction alone would do.
  assert not np.allclose(want, [[one_way(x, y) for y in b] for x in a])
  got = correlation.compare(a, b)
  np.testing.assert_allclose(got, want, atol=1e-6)


def test_all_similarities_equal_loops():
  a = noise(3, 48, 48)
  want = [[max(one_way(x, y), one_way(y, x)) for y in a] for x in a]
  np.testing.assert_allclose(all_similarities(a), want, atol=1e-6)


def test_blocks_do_not_show(monkeypatch):
  a, b = noise(2, 48, 48), noise(5, 48, 48, seed=1)
  want = correlation.compare(a, b)
  monkeypatch.setattr(correlation, 'BLOCK', 2)
  # A function of its own: `compare` keeps the program of one block.
  got = jax.jit(lambda a, b: correlation.similarities(a, b))(a, b)
  np.testing.assert_allclose(got, want, atol=1e-6)


@pytest.mark.parametrize('shift, alike', [((5, -5), True), ((0, 6), False)])
def test_shifts_of_five_pixels_are_found(shift, alike):
  field = noise(60, 60)
  down, right = shift
  a = field[6:54, 6:54]
  b = 0.5 * field[6 + down : 54 + down, 6 + right : 54 + right] + 2.0
  score = correlation.compare(a[None], b[None])[0, 0]
  # Of noise elsewhere 1444 values are compared: s.d. 1 / √1444 = .026.
  assert score > 1 - 1e-6 if alike else score < 0.15


def test_a_flat_image_is_like_none():
  images = np.full((2, 64, 64, 1), 0.3, np.float32)
  images[1] = noise(64, 64, 1)
  made = templates(images)
  scores = all_similarities(made)
  np.testing.assert_allclose(scores, [[0, 0], [0, 1]], atol=1e-2)


def test_templates_of_the_right_size_are_local_contrast():
  images = 0.3 * noise(2, 48, 48, 1)
  np.testing.assert_array_equal(
    templates(images), jax.jit(contrast.normalise)(images)[..., 0]
  )


def test_templates_of_a_set_are_those_of_each_image():
  images = np.random.default_rng(0).integers(0, 256, (6, 64, 64, 3), np.uint8)
  luma = images @ np.array([0.299, 0.587, 0.114]) / 127.5 - 1
  want = [
    templates(image[None, ..., None])[0] for image in luma.astype(np.float32)
  ]
  together = correlation.templates_of(images)
  np.testing.assert_allclose(together, want, atol=1e-4)
  # Company changes nothing. Some CPUs round a batch otherwise than one image.
  np.testing.assert_allclose(
    correlation.templates_of(images[5:]), together[5:], atol=2e-6
  )
  assert correlation.templates_of(images[:0]).shape == (0, 48, 48)


def test_templates_of_large_images_are_those_of_small_ones():
  # Blurred, so that 48 pixels hold all there is.
  large = ndimage.gaussian_filter(noise(192, 192), 8.0)
  small = large.reshape(48, 4, 48, 4).mean(axis=(1, 3))
  score = correlation.compare(
    *(
      templates(image[None, ..., None] / image.std() / 3)
      for image in (large, small)
    )
  )
  assert score[0, 0] > 0.999

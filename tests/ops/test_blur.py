"""Blur against SciPy, which continues images at the border in its own ways."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from palmjax.ops import blur

GAUSSIAN = jax.jit(blur.gaussian, static_argnames='border')


def random_images(*shape, seed=0):
  rng = np.random.default_rng(seed)
  return rng.uniform(-1, 1, size=shape).astype(np.float32)


@pytest.mark.parametrize(
  'height, width, sigma', [(12, 17, 1.0), (9, 9, 0.4), (6, 8, 5.0)]
)
def test_reflect_equals_scipy(height, width, sigma):
  images = random_images(2, height, width, 3)
  got = jax.jit(lambda x: blur.gaussian(x, sigma, border='reflect'))(images)
  # SciPy's 'mirror' reflects about the centre of the outermost pixel.
  want = ndimage.gaussian_filter(
    images.astype(np.float64), (0, sigma, sigma, 0), mode='mirror', truncate=4
  )
  np.testing.assert_allclose(got, want, atol=2e-6)


def test_symmetric_equals_scipy_with_a_width_for_each_image():
  images, sigmas = random_images(2, 16, 19, 3), (0.7, 1.6)
  got = GAUSSIAN(images, np.float32(sigmas), border='symmetric')
  for image, sigma, mine in zip(images, sigmas, got, strict=True):
    # SciPy's 'reflect' reflects about the edge of the outermost pixel.
    want = ndimage.gaussian_filter(
      image.astype(np.float64), (sigma, sigma, 0), mode='reflect', truncate=6
    )
    np.testing.assert_allclose(mine, want, atol=1e-5)


def test_width_zero_leaves_an_image_as_it_is():
  images = random_images(2, 16, 19, 3)
  got = np.asarray(GAUSSIAN(images, np.float32([0.0, 2.0]), border='symmetric'))
  np.testing.assert_allclose(got[0], images[0], atol=1e-6)
  assert np.abs(got[1] - images[1]).max() > 0.1


@pytest.mark.parametrize('border', ['reflect', 'symmetric', 'inside'])
def test_flat_image_stays_flat(border):
  flat = np.full((1, 11, 14, 2), 0.3, np.float32)

  @jax.jit
  def smooth(images):
    sigma = 2.0 if border == 'reflect' else jnp.array(2.0)
    return blur.gaussian(images, sigma, border=border)

  got = smooth(flat)
  np.testing.assert_allclose(got, flat, atol=1e-6)


def test_inside_reads_a_shift_away_and_takes_no_pixel_twice():
  images = random_images(1, 14, 13, 1)
  shift, sigma = (2.5, -1.0), 1.2
  got = GAUSSIAN(
    images, np.float32(sigma), border='inside', shift=np.float32(shift)
  )
  want = np.zeros((14, 13))
  for y in range(14):
    for x in range(13):
      down = np.exp(-((np.arange(14) - y - shift[1]) ** 2) / (2 * sigma**2))
      right = np.exp(-((np.arange(13) - x - shift[0]) ** 2) / (2 * sigma**2))
      weights = np.outer(down / down.sum(), right / right.sum())
      want[y, x] = np.sum(weights * images[0, ..., 0])
  np.testing.assert_allclose(got[0, ..., 0], want, atol=1e-5)


def test_inside_is_finite_where_everything_read_lies_outside():
  images = random_images(1, 14, 13, 1)
  got = GAUSSIAN(
    images, np.float32(0.5), border='inside', shift=np.float32([900.0, 0.0])
  )
  assert np.isfinite(got).all()


def test_sigma_must_be_positive():
  with pytest.raises(ValueError, match='sigma > 0'):
    blur.gaussian(random_images(1, 8, 8, 1), 0.0, border='reflect')

"""Grey and local contrast against SciPy and NumPy."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from scipy import ndimage

from palmjax.ops import contrast

normalise = jax.jit(contrast.normalise)


def random_images(*shape, seed=0):
  rng = np.random.default_rng(seed)
  return rng.uniform(-1, 1, size=shape).astype(np.float32)


def blurred(images, sigma):
  """SciPy's 'mirror' reflects about the centre of the outermost pixel."""
  return ndimage.gaussian_filter(
    images.astype(np.float64), (0, sigma, sigma, 0), mode='mirror', truncate=4
  )


def test_grey_is_rec_601():
  images = np.eye(3, dtype=np.float32).reshape(1, 1, 3, 3)
  np.testing.assert_allclose(
    jax.jit(contrast.grey)(images)[0, 0, :, 0], [0.299, 0.587, 0.114], rtol=1e-6
  )


def test_normalise_equals_numpy():
  images = random_images(2, 25, 25, 1)
  detail = images - blurred(images, 0.08 * 25)
  deviation = np.sqrt(blurred(detail**2, 0.16 * 25))
  want = np.clip(detail / (deviation + 0.2), -1.5, 1.5)
  got = np.asarray(normalise(images, floor=0.2, clip=1.5))
  np.testing.assert_allclose(got, want, atol=1e-5)
  assert np.max(np.abs(got)) == 1.5


def test_normalise_takes_out_light_and_gain():
  images = random_images(1, 32, 32, 1)
  plain = normalise(images, floor=1e-4)
  lit = normalise(np.float32(0.3) * images + np.float32(0.4), floor=1e-4)
  np.testing.assert_allclose(lit, plain, atol=2e-3)


def test_normalise_of_a_flat_image_is_zero_with_finite_gradient():
  images = np.full((1, 16, 16, 1), 0.3, np.float32)

  @jax.jit
  @functools.partial(jax.grad, has_aux=True)
  def slope(x):
    y = contrast.normalise(x)
    return jnp.sum(y**2), y

  gradient, flat = slope(images)
  np.testing.assert_allclose(flat, 0.0, atol=1e-4)
  assert np.all(np.isfinite(gradient))


def test_vmap_equals_batch():
  images = random_images(3, 16, 16, 1)
  got = jax.jit(jax.vmap(lambda image: contrast.normalise(image[None])[0]))(
    images
  )
  np.testing.assert_allclose(got, normalise(images), atol=1e-5)

"""Resampling against zero-insertion and a plain NumPy convolution."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from palmjax.ops import resample

TAPS = np.array([1.0, 3.0, 3.0, 1.0])
UPSAMPLE = jax.jit(resample.upsample)
DOWNSAMPLE = jax.jit(resample.downsample)


def filtered(image, taps, before, after):
  """Correlates [H, W] with taps ⊗ taps after padding with zeros."""
  padded = np.pad(image, (before, after))
  size = len(taps)
  kernel = np.outer(taps, taps)
  out = np.zeros([n - size + 1 for n in padded.shape])
  for i in range(out.shape[0]):
    for j in range(out.shape[1]):
      out[i, j] = np.sum(kernel * padded[i : i + size, j : j + size])
  return out


def upsample_reference(image):
  """Border held, zeros inserted, filter of gain 4, centred crop."""
  image = np.pad(image, 1, mode='edge')
  stuffed = np.zeros([2 * n for n in image.shape])
  stuffed[::2, ::2] = image
  # 2 zeros before and 1 after: the phase of StyleGAN2's upsampling.
  return filtered(stuffed, 2 * TAPS / TAPS.sum(), 2, 1)[2:-2, 2:-2]


def downsample_reference(image):
  """Border held, filter of gain 1, every second value."""
  image = np.pad(image, 1, mode='edge')
  return filtered(image, TAPS / TAPS.sum(), 0, 0)[::2, ::2]


@pytest.mark.parametrize(
  'function, reference',
  [
    (UPSAMPLE, upsample_reference),
    (DOWNSAMPLE, downsample_reference),
  ],
)
def test_equals_the_convolution(function, reference):
  x = np.random.default_rng(0).normal(size=(2, 4, 6, 3)).astype(np.float32)
  got = np.asarray(function(x))
  for b in range(2):
    for c in range(3):
      np.testing.assert_allclose(
        got[b, ..., c], reference(x[b, ..., c]), atol=1e-6
      )


def test_up_impulse_golden():
  x = np.zeros((1, 3, 3, 1), np.float32)
  x[0, 1, 1, 0] = 1.0
  # Support 1..4 of 0..5: centred on the two pixels that pixel 1 becomes.
  want = np.zeros((6, 6))
  want[1:5, 1:5] = np.outer([1, 3, 3, 1], [1, 3, 3, 1]) / 16
  got = np.asarray(UPSAMPLE(x))
  np.testing.assert_allclose(got[0, ..., 0], want, atol=1e-7)


def test_constant_is_kept_up_to_the_border():
  ones = np.ones((1, 16, 16, 1), np.float32)
  up = UPSAMPLE(ones)
  down = DOWNSAMPLE(ones)
  np.testing.assert_allclose(up, np.ones_like(up), atol=1e-6)
  np.testing.assert_allclose(down, np.ones_like(down), atol=1e-6)


@pytest.mark.parametrize('function', [UPSAMPLE, DOWNSAMPLE])
def test_ramp_is_not_shifted(function):
  # The values of a ramp are its pixel centres: resampled, they still are.
  centres = (np.arange(16, dtype=np.float32) + 0.5) / 16
  ramp = np.broadcast_to(centres[:, None, None], (1, 16, 16, 1))
  got = np.asarray(function(ramp))[0, :, 4, 0]
  size = len(got)
  want = (np.arange(size) + 0.5) / size
  np.testing.assert_allclose(got[2:-2], want[2:-2], atol=1e-6)


def test_second_derivative():
  x = np.random.default_rng(2).normal(size=(1, 4, 4, 1)).astype(np.float32)

  @jax.jit
  @jax.value_and_grad
  def penalty(x):
    gradient = jax.grad(lambda x: jnp.sum(resample.downsample(x) ** 3))(x)
    return jnp.sum(gradient**2)

  v = np.ones_like(x)
  h = np.float32(1e-2)
  above, below = (penalty(x + step * v)[0].item() for step in (h, -h))
  np.testing.assert_allclose(
    np.vdot(penalty(x)[1], v), (above - below) / (2 * h), rtol=1e-2
  )


def test_odd_size_is_refused():
  with pytest.raises(ValueError, match='must be even'):
    resample.downsample(np.zeros((1, 5, 4, 1), np.float32))

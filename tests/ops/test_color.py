"""Colour matrices by their effect on known colours."""

import colorsys

import jax.numpy as jnp
import numpy as np
import pytest

from palmjax.ops import color

COLOR = np.array([0.5, -0.2, 0.1], np.float32)


def transformed(matrix, rgb=COLOR):
  image = np.broadcast_to(rgb, (1, 2, 2, len(rgb))).astype(np.float32)
  out = color.apply(image, matrix[None])
  assert out.shape == image.shape
  return np.asarray(out[0, 1, 1])


def test_brightness():
  np.testing.assert_allclose(
    transformed(color.brightness(0.3)), COLOR + 0.3, rtol=1e-5
  )


def test_contrast():
  np.testing.assert_allclose(
    transformed(color.contrast(2.0)), 2 * COLOR, rtol=1e-5
  )


def test_luma_flip_negates_the_mean_and_keeps_the_rest():
  want = COLOR - 2 * COLOR.mean()
  np.testing.assert_allclose(transformed(color.luma_flip(1.0)), want, rtol=1e-5)


def test_luma_flip_of_zero_is_nothing():
  np.testing.assert_allclose(
    transformed(color.luma_flip(0.0)), COLOR, rtol=1e-5
  )


def test_saturation():
  want = COLOR.mean() + 3 * (COLOR - COLOR.mean())
  np.testing.assert_allclose(
    transformed(color.saturation(3.0)), want, rtol=1e-5
  )


def test_hue_by_a_third_permutes_red_to_green_to_blue():
  np.testing.assert_allclose(
    transformed(color.hue(2 * np.pi / 3)), COLOR[[2, 0, 1]], rtol=1e-4
  )


def test_hue_turns_as_the_colour_circle_does():
  # Red turned by 60° of hue is nearest to yellow among the pure hues.
  turned = transformed(color.hue(np.pi / 3), np.array([1.0, 0.0, 0.0]))
  hue, _, _ = colorsys.rgb_to_hsv(*np.clip(turned, 0, 1))
  np.testing.assert_allclose(hue * 360, 60, atol=1)


def test_grey_image_takes_the_mean_of_the_three():
  matrix = color.brightness(0.3) @ color.contrast(2.0)
  np.testing.assert_allclose(
    transformed(matrix, np.array([0.4])), [1.1], rtol=1e-5
  )
  np.testing.assert_allclose(
    transformed(color.luma_flip(1.0), np.array([0.4])), [-0.4], rtol=1e-5
  )


def test_matrices_per_image():
  images = jnp.ones((3, 2, 2, 3))
  out = color.apply(images, color.brightness(jnp.array([0.0, 1.0, -2.0])))
  np.testing.assert_allclose(out[:, 0, 0, 0], [1, 2, -1], rtol=1e-6)


def test_two_channels_are_refused():
  with pytest.raises(ValueError, match='2 channels'):
    color.apply(jnp.zeros((1, 2, 2, 2)), jnp.eye(4)[None])

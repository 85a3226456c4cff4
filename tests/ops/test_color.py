"""Colour matrices by their effect on known colours."""

import colorsys

import jax
import numpy as np
import pytest

from palmjax.ops import color

COLOR = np.array([0.5, -0.2, 0.1], np.float32)
APPLY = jax.jit(color.apply)
BRIGHTNESS, CONTRAST, LUMA_FLIP, SATURATION, HUE = map(
  jax.jit,
  (
    color.brightness,
    color.contrast,
    color.luma_flip,
    color.saturation,
    color.hue,
  ),
)


def transformed(matrix, rgb=COLOR):
  image = np.broadcast_to(rgb, (1, 2, 2, len(rgb))).astype(np.float32)
  out = np.asarray(APPLY(image, np.asarray(matrix)[None]))
  assert out.shape == image.shape
  return out[0, 1, 1]


def test_brightness():
  np.testing.assert_allclose(
    transformed(BRIGHTNESS(0.3)), COLOR + 0.3, rtol=1e-5
  )


def test_contrast():
  np.testing.assert_allclose(transformed(CONTRAST(2.0)), 2 * COLOR, rtol=1e-5)


def test_luma_flip_negates_the_mean_and_keeps_the_rest():
  want = COLOR - 2 * COLOR.mean()
  np.testing.assert_allclose(transformed(LUMA_FLIP(1.0)), want, rtol=1e-5)


def test_luma_flip_of_zero_is_nothing():
  np.testing.assert_allclose(transformed(LUMA_FLIP(0.0)), COLOR, rtol=1e-5)


def test_saturation():
  want = COLOR.mean() + 3 * (COLOR - COLOR.mean())
  np.testing.assert_allclose(transformed(SATURATION(3.0)), want, rtol=1e-5)


def test_hue_by_a_third_permutes_red_to_green_to_blue():
  np.testing.assert_allclose(
    transformed(HUE(2 * np.pi / 3)), COLOR[[2, 0, 1]], rtol=1e-4
  )


def test_hue_turns_as_the_colour_circle_does():
  # Red turned by 60° of hue is nearest to yellow among the pure hues.
  turned = transformed(HUE(np.pi / 3), np.array([1.0, 0.0, 0.0]))
  hue, _, _ = colorsys.rgb_to_hsv(*np.clip(turned, 0, 1))
  np.testing.assert_allclose(hue * 360, 60, atol=1)


def test_grey_image_takes_the_mean_of_the_three():
  matrix = np.asarray(BRIGHTNESS(0.3)) @ CONTRAST(2.0)
  np.testing.assert_allclose(
    transformed(matrix, np.array([0.4])), [1.1], rtol=1e-5
  )
  np.testing.assert_allclose(
    transformed(LUMA_FLIP(1.0), np.array([0.4])), [-0.4], rtol=1e-5
  )


def test_matrices_per_image():
  images = np.ones((3, 2, 2, 3), np.float32)
  out = np.asarray(APPLY(images, BRIGHTNESS(np.float32([0.0, 1.0, -2.0]))))
  np.testing.assert_allclose(out[:, 0, 0, 0], [1, 2, -1], rtol=1e-6)


def test_two_channels_are_refused():
  with pytest.raises(ValueError, match='2 channels'):
    color.apply(np.zeros((1, 2, 2, 2)), np.eye(4)[None])

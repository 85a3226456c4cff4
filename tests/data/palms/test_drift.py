"""Drift of light, skin and camera: what each knob does to a picture."""

import functools

import jax
import numpy as np
import pytest

from palmjax.data.palms import drift

SIZE = 32
KNOBS = ('light', 'dryness', 'camera')


@functools.cache
def pictures():
  """Two pictures with fine lines on a smooth ground."""
  rng = np.random.default_rng(0)
  ground = np.linspace(110, 150, SIZE)[None, :, None, None]
  lines = 40 * (np.arange(SIZE) % 8 == 0)[None, None, :, None]
  colour = np.array([30, 0, -20])
  images = ground - lines + colour + rng.normal(0, 1, (2, SIZE, SIZE, 1))
  return images.astype(np.uint8)


def drifted(**knobs):
  images = drift.apply(pictures(), drift.Drift(**knobs), jax.random.key(0))
  assert images.dtype == np.uint8
  return np.asarray(images).astype(float)


def test_no_drift_is_no_change():
  np.testing.assert_array_equal(drifted(), pictures())


@pytest.mark.parametrize('knob', KNOBS)
def test_more_of_a_knob_changes_more(knob):
  changes = [
    np.abs(drifted(**{knob: amount}) - pictures()).mean()
    for amount in (0.25, 0.5, 1.0)
  ]
  assert changes[0] > 0
  assert changes == sorted(changes)


def test_light_is_darker_warmer_and_from_one_side():
  images = drifted(light=1.0)
  assert images.mean() < 0.7 * pictures().mean()
  red, _, blue = images.mean(axis=(0, 1, 2)) / pictures().mean(axis=(0, 1, 2))
  assert red > 1.2 * blue
  corners = images[:, 0, 0].mean(), images[:, -1, -1].mean()
  assert corners[1] > 1.5 * corners[0]


def test_dry_skin_has_stronger_lines_and_a_camera_weaker_ones():
  def relief(images):
    return np.abs(np.diff(images.mean(axis=(0, 1, 3)))).mean()

  plain, dry, soft = map(
    relief, (pictures(), drifted(dryness=1.0), drifted(camera=1.0))
  )
  assert dry > 1.2 * plain
  assert soft < 0.8 * plain


def test_pictures_differ_in_their_light_and_a_key_repeats_them():
  images = pictures()[[0, 0]]
  changes = drift.Drift(light=1.0)
  one, other = drift.apply(images, changes, jax.random.key(1))
  assert np.any(one != other)
  again = drift.apply(images, changes, jax.random.key(1))
  np.testing.assert_array_equal(again, np.stack([one, other]))

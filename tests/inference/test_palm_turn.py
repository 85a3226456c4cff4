"""Sets of palms that lie on their side are found by their mean code."""

import functools

import numpy as np
import pytest

from palmjax.inference import orientation_code, palm_turn
from tests.inference import drawn_palms


@functools.cache
def mean_code(seed, difficulty, count=drawn_palms.COUNT, quarters=0):
  """Of drawn palms, turned counter-clockwise by so many quarters."""
  images = drawn_palms.draw(seed, difficulty)[:count]
  codes = orientation_code.templates(
    np.rot90(images, quarters, axes=(1, 2)), orientation_code.FINE
  )
  return orientation_code.mean(codes)


@pytest.mark.parametrize('difficulty', [0.4, 0.8])
def test_upright_palms_are_told_to_lie_upright(difficulty):
  fitted = palm_turn.fit(mean_code(3, difficulty, 40))
  assert fitted.turn == 0
  assert np.argmax(fitted.cosines) == 0
  assert palm_turn.warning(fitted, 'palms') is None


@pytest.mark.parametrize('quarters', [1, 2, 3])
def test_the_turn_that_brings_palms_upright_is_named(quarters):
  fitted = palm_turn.fit(mean_code(3, 0.8, 40, quarters))
  assert fitted.turn == 90 * quarters
  assert f'{90 * quarters}° clockwise' in palm_turn.warning(fitted, 'palms')


def test_a_turned_image_has_the_turned_field():
  upright = palm_turn.field(mean_code(3, 0.8, 40))
  turned = palm_turn.field(mean_code(3, 0.8, 40, 1))
  # Positions go to the left side, and directions are the opposite.
  np.testing.assert_allclose(turned, -np.rot90(upright), atol=0.05)


def test_mirrored_palms_lie_upright():
  mean = mean_code(3, 0.8, 40)
  mirrored = mean[:, ::-1] * np.array([1, -1], np.float32)
  assert palm_turn.fit(mirrored).turn == 0


def test_no_common_direction_is_not_told():
  assert palm_turn.fit(np.zeros((32, 32, 2))).turn == 0


def test_the_nearly_best_turn_is_not_told():
  upright = mean_code(3, 0.4)
  # What fits two turns alike: a sum of both.
  both = upright - np.rot90(upright)
  fitted = palm_turn.fit(both)
  assert abs(fitted.cosines[0] - fitted.cosines[1]) < 0.2
  assert fitted.turn == 0


def test_the_field_is_of_unit_norm_and_symmetric():
  field = palm_turn.symmetric(palm_turn.field(mean_code(3, 0.4)))
  np.testing.assert_allclose(
    field, field[:, ::-1] * np.array([1, -1]), atol=1e-12
  )
  assert np.linalg.norm(palm_turn.field(mean_code(3, 0.4))) == pytest.approx(1)

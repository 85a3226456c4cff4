"""Controls of recognition: they learn nothing, and tell drawn palms apart."""

import numpy as np
import pytest

from palmjax.evals.recognition import error_rates
from palmjax.recipes.shared import controls
from tests.inference import drawn_palms


@pytest.fixture(scope='module')
def drawn():
  labels = np.repeat(np.arange(12), 3)
  samples = np.tile(np.arange(3), 12)
  return drawn_palms.draw_all(0, labels, samples, 0.2), labels


def test_controls_tell_drawn_palms_apart(drawn):
  images, labels = drawn
  same = labels[:, None] == labels
  other = ~np.eye(len(labels), dtype=bool)
  matrices = controls.scores(images)
  assert [*matrices] == ['correlation', 'orientation code']
  for scores in matrices.values():
    assert scores.shape == (36, 36)
    np.testing.assert_allclose(scores, scores.T, atol=1e-6)
    assert error_rates.eer(scores[same & other], scores[~same]) < 0.05

"""The field that is shown as an example is that of drawn palms."""

import numpy as np

from palmjax.inference import parts
from palmjax.report import upright_lines
from tests.inference import drawn_palms


def test_other_drawn_palms_have_such_a_field():
  mean = np.asarray(parts.means(drawn_palms.templates(0, 0.3)).fine)
  cells = mean[1:-1, 1:-1].reshape(10, 3, 10, 3, 2).mean(axis=(1, 3))
  shipped = upright_lines.FIELD
  assert shipped.shape == cells.shape

  def cosine(field):
    norms = np.linalg.norm(field) * np.linalg.norm(shipped)
    return (field * shipped).sum() / norms

  assert cosine(cells) > 0.6
  # Upside down, lines run level in the lower part.
  assert cosine(cells[::-1, ::-1]) < 0.0

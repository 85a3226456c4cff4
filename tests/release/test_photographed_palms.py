"""Photographs become palms; those without one are named."""

import numpy as np
from PIL import Image

from palmjax.inference import finder
from release import photographed_palms
from tests import painted_photos


def test_one_photograph_a_person_is_cut(tmp_path, monkeypatch, capsys):
  monkeypatch.setattr(finder, 'load', lambda *_, **__: painted_photos.find)
  palm = painted_photos.paint(painted_photos.PALM)
  # A palm of one colour is refused; the painted hand is found by its colour.
  palm = palm - np.random.default_rng(0).integers(
    0, 4, palm.shape, np.uint8
  ) * (palm > 8)
  for name, photo in {
    'b/5_x.jpg': palm,
    'a/5_x.jpg': palm,
    'a/4_x.jpg': palm,
    'c/5_x.jpg': painted_photos.paint(),
  }.items():
    (tmp_path / name).parent.mkdir(exist_ok=True)
    Image.fromarray(photo).save(tmp_path / name, quality=95)
  images = photographed_palms.read(tmp_path, size=16)
  assert images.shape == (2, 16, 16, 3)
  assert images.dtype == np.uint8
  assert f'{tmp_path}/c/5_x.jpg' in capsys.readouterr().err
  (other,) = photographed_palms.read(tmp_path, size=16, pattern='*/4_*.jpg')
  np.testing.assert_array_equal(other, images[0])
  none = photographed_palms.read(tmp_path, size=16, pattern='*/3_*.jpg')
  assert none.shape == (0, 16, 16, 3)

import numpy as np
import pytest
from PIL import Image

from palmjax.images import image_file, letterbox


def _halves(height, width):
  """Red in the left half, green in the right one."""
  image = np.zeros((height, width, 3), np.uint8)
  image[:, : width // 2, 0] = 255
  image[:, width // 2 :, 1] = 255
  return image


def test_wide_and_tall_images_are_centred_on_grey():
  fitted = letterbox.fit(_halves(40, 80), size=20)
  image = fitted.image
  assert image.shape == (20, 20, 3)
  assert (image[:5] == letterbox.GREY).all()
  assert (image[15:] == letterbox.GREY).all()
  # The filter reaches six pixels of the image over the edge.
  assert (image[5:15, :7] == [255, 0, 0]).all()
  assert (image[5:15, 13:] == [0, 255, 0]).all()
  tall = letterbox.fit(_halves(40, 80).transpose(1, 0, 2), size=20)
  np.testing.assert_array_equal(tall.image, image.transpose(1, 0, 2))


def test_points_go_there_and_back():
  # 30 × 7 becomes 20 × 5, not 20 × 4.67, from row 7 on.
  fitted = letterbox.fit(np.zeros((7, 30, 3), np.uint8), size=20)
  points = np.array([[0.0, 0.0], [30.0, 7.0], [15.0, 3.5]])
  placed = fitted.place(points)
  np.testing.assert_allclose(placed, [[0, 7], [20, 12], [10, 9.5]])
  np.testing.assert_allclose(fitted.place_back(placed), points)


@pytest.mark.parametrize('suffix', ['png', 'jpg', 'webp'])
def test_file_is_fitted_upright_and_large_jpegs_alike(tmp_path, suffix):
  y, x = np.mgrid[:300, :600]
  picture = np.stack([x * 255 / 599, y * 255 / 299, 128 + 0 * x], -1)
  picture = picture.astype(np.uint8)
  exif = Image.Exif()
  exif[0x0112] = 6  # Stored a quarter turn to the left.
  path = tmp_path / f'a.{suffix}'
  Image.fromarray(np.rot90(picture)).save(path, exif=exif)
  got, expected = (
    letterbox.decode(path, size=32),
    letterbox.fit(picture, size=32),
  )
  assert np.abs(got.image.astype(int) - expected.image).max() <= 6
  np.testing.assert_array_equal(got.scale, expected.scale)
  np.testing.assert_array_equal(got.start, expected.start)


def test_a_thin_image_keeps_a_pixel():
  fitted = letterbox.fit(np.zeros((1, 500, 3), np.uint8), size=16)
  assert (fitted.image == 0).all(axis=-1).sum() == 16


@pytest.mark.parametrize('content', [b'', b'no image'])
def test_unreadable_file(tmp_path, content):
  (tmp_path / 'a.png').write_bytes(content)
  with pytest.raises(image_file.UnreadableError):
    letterbox.decode(tmp_path / 'a.png', size=8)

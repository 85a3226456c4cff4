"""Squares of photographs whose colours tell the place they were taken at."""

import numpy as np
import pytest
from PIL import Image

from palmjax.images import letterbox, photo

SHAPE = (150, 240)


def ramps(shape=SHAPE):
  """Red is x, green y of a pixel; blue tells it from grey."""
  y, x = np.mgrid[: shape[0], : shape[1]]
  return np.stack([x, y, np.full_like(x, 200)], axis=-1).astype(np.uint8)


def places(square):
  """Where in `ramps` each pixel was read, and whether it was."""
  # A pixel's middle is half a pixel on, and Pillow cuts fractions off.
  return square.image[..., :2] + 1.0, square.image[..., 2] > 195


@pytest.mark.parametrize('angle', [0.0, 0.4, np.pi / 2, -2.5])
@pytest.mark.parametrize('side', [30.0, 64.0, 200.0])
def test_pixels_come_from_where_the_square_says(angle, side):
  size, centre = 64, (100.3, 80.7)
  square = photo.cut(ramps(), centre=centre, side=side, angle=angle, size=size)
  assert square.image.shape == (size, size, 3)
  grid = np.stack(np.meshgrid(*[np.arange(size) + 0.5] * 2), axis=-1)
  positions = square.place_back(grid)
  read, inside = places(square)
  # Beside the border of the photo the ramps are bent.
  inside &= (positions > 4).all(axis=-1) & (
    positions < np.array(SHAPE[::-1]) - 4
  ).all(-1)
  assert inside.sum() > 0.3 * size**2
  # Fractions lost twice: of means, then of what is between them.
  assert np.abs(read - positions)[inside].max() < 0.5 + 0.5 * (side > 2 * size)
  np.testing.assert_allclose(square.place_back(np.full(2, size / 2)), centre)
  np.testing.assert_allclose(square.place(positions), grid, atol=1e-9)
  # Clockwise: the square's right is turned from x towards y.
  right = square.place_back(np.array([size, size / 2])) - centre
  np.testing.assert_allclose(
    right, side / 2 * np.array([np.cos(angle), np.sin(angle)]), atol=1e-9
  )


def test_beyond_the_photo_it_is_grey():
  square = photo.cut(ramps(), centre=(0, 75), side=100, size=50)
  assert (square.image[:, :24] == letterbox.GREY).all()
  assert (square.image[:, 26:, 2] == 200).all()
  away = photo.cut(ramps(), centre=(-500, 75), side=100, angle=1.0, size=50)
  assert (away.image == letterbox.GREY).all()


def test_shrinking_takes_means():
  board = np.indices((320, 320)).sum(axis=0) % 2 * 255
  image = np.repeat(board[..., None], 3, axis=-1).astype(np.uint8)
  square = photo.cut(image, centre=(160, 160), side=200, angle=0.3, size=25)
  assert np.abs(square.image.astype(float) - 127.5).max() < 8


def exif(orientation):
  tags = Image.Exif()
  tags[0x0112] = orientation
  return tags


def test_photos_are_read_upright_and_in_rgb(tmp_path):
  image = ramps((20, 30))
  Image.fromarray(image).save(tmp_path / 'a.png')
  np.testing.assert_array_equal(photo.read(tmp_path / 'a.png'), image)
  sideways = Image.fromarray(image).transpose(Image.Transpose.ROTATE_90)
  sideways.save(tmp_path / 'b.png', exif=exif(6))
  np.testing.assert_array_equal(photo.read(tmp_path / 'b.png'), image)
  grey = image[..., 0]
  Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / 'c.png')
  np.testing.assert_array_equal(photo.read(tmp_path / 'c.png')[..., 1], grey)
  clear = np.dstack([image, np.zeros((20, 30), np.uint8)])
  Image.fromarray(clear).save(tmp_path / 'd.png')
  assert (photo.read(tmp_path / 'd.png') == 255).all()
  Image.fromarray(image).convert('CMYK').save(tmp_path / 'e.jpg', quality=98)
  assert photo.read(tmp_path / 'e.jpg').shape == (20, 30, 3)


@pytest.mark.filterwarnings(
  'ignore:Image size:PIL.Image.DecompressionBombWarning'
)
def test_what_cannot_be_read(tmp_path):
  (tmp_path / 'text.jpg').write_text('no image')
  Image.new('1', (10_002, 10_000)).save(tmp_path / 'huge.png')
  Image.fromarray(ramps()).save(tmp_path / 'whole.png')
  whole = (tmp_path / 'whole.png').read_bytes()
  (tmp_path / 'half.png').write_bytes(whole[: len(whole) // 2])
  for name, message in (
    ('text.jpg', 'text.jpg: is no image'),
    ('huge.png', 'huge.png: 10002 × 10000 pixels are more than 100 mega'),
    ('half.png', 'half.png: .*truncated'),
    (
      'none.png',
      'none.png: there is no such file; give a JPEG, PNG, BMP or WebP image',
    ),
    ('', 'is a folder'),
  ):
    with pytest.raises(ValueError, match=message) as error:
      photo.read(tmp_path / name)
    assert '\n' not in str(error.value)

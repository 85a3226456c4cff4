import numpy as np
import pytest
from PIL import Image

from palmjax.data.sets import folder
from palmjax.images import image_file


def _save(path, array=None, **options):
  path.parent.mkdir(parents=True, exist_ok=True)
  if array is None:
    array = np.full((8, 8, 3), 128, np.uint8)
  Image.fromarray(array).save(path, **options)


def _gradient(height, width):
  """An image whose pixel (0, 0) is black, with red along x, green along y."""
  image = np.zeros((height, width, 3), np.uint8)
  image[..., 0] = np.linspace(0, 255, width)[None, :]
  image[..., 1] = np.linspace(0, 255, height)[:, None]
  return image


def _two_identities(root):
  for name in ('b/1.png', 'b/2.png', 'a/2.png', 'a/10.png', 'a/x.BMP'):
    _save(root / name)


def test_order_labels_and_ids(tmp_path):
  _two_identities(tmp_path)
  data = folder.read(tmp_path, size=4)
  assert data.ids == ('a/10.png', 'a/2.png', 'a/x.BMP', 'b/1.png', 'b/2.png')
  assert data.identities == ('a', 'b')
  np.testing.assert_array_equal(data.labels, [0, 0, 0, 1, 1])
  np.testing.assert_array_equal(data.groups, ['a', 'a', 'a', 'b', 'b'])
  assert data.labels.dtype == np.int32
  assert data.images.dtype == np.uint8
  assert data.images.shape == (5, 4, 4, 3)
  assert data.skipped == ()


def test_images_stay_with_their_labels(tmp_path):
  for k in range(3):
    for j in range(4):
      _save(
        tmp_path / f'{k}' / f'{j}.png',
        np.full((6, 6, 3), 40 * k + 10 * j, np.uint8),
      )
  data = folder.read(tmp_path, size=2)
  expected = [40 * k + 10 * j for k in range(3) for j in range(4)]
  np.testing.assert_array_equal(data.images[:, 0, 0, 0], expected)


def test_centre_crop_keeps_proportions(tmp_path):
  image = np.zeros((30, 90, 3), np.uint8)
  image[:, 30:60] = 200
  _save(tmp_path / 'wide.png', image)
  _save(tmp_path / 'tall.png', image.transpose(1, 0, 2))
  for name in ('wide.png', 'tall.png'):
    np.testing.assert_array_equal(
      image_file.decode(tmp_path / name, size=30), np.full((30, 30, 3), 200)
    )


def test_downscaling_is_antialiased(tmp_path):
  board = np.indices((64, 64)).sum(axis=0) % 2 * 255
  _save(tmp_path / 'a.png', np.repeat(board[..., None], 3, 2).astype(np.uint8))
  small = image_file.decode(tmp_path / 'a.png', size=8)
  assert np.abs(small.astype(int) - 127.5).max() < 8


@pytest.mark.parametrize('orientation', range(1, 9))
def test_exif_orientation(tmp_path, orientation):
  upright = _gradient(16, 16)
  # What a camera that is held in that orientation stores (EXIF 2.3, table 6).
  stored = {
    1: upright,
    2: upright[:, ::-1],
    3: upright[::-1, ::-1],
    4: upright[::-1],
    5: upright.transpose(1, 0, 2),
    6: np.rot90(upright, 1),
    7: upright[::-1, ::-1].transpose(1, 0, 2),
    8: np.rot90(upright, -1),
  }[orientation]
  exif = Image.Exif()
  exif[0x0112] = orientation
  path = tmp_path / 'a.png'
  Image.fromarray(np.ascontiguousarray(stored)).save(path, exif=exif)
  np.testing.assert_array_equal(image_file.decode(path, size=16), upright)


def test_grey_palette_and_bilevel(tmp_path):
  grey = np.full((4, 4), 77, np.uint8)
  Image.fromarray(grey).save(tmp_path / 'grey.jpg')
  Image.fromarray(np.full((4, 4, 3), (255, 0, 51), np.uint8)).quantize(4).save(
    tmp_path / 'palette.png'
  )
  Image.fromarray(grey).convert('1', dither=0).save(tmp_path / 'bits.bmp')
  for name, colour in (
    ('grey.jpg', (77, 77, 77)),
    ('palette.png', (255, 0, 51)),
    ('bits.bmp', (0, 0, 0)),
  ):
    np.testing.assert_array_equal(
      image_file.decode(tmp_path / name, size=2), np.full((2, 2, 3), colour)
    )


def test_16_bits_are_scaled_not_clipped(tmp_path):
  ramp = np.array([[0, 257 * 100], [257 * 200, 65535]], np.uint16)
  Image.fromarray(ramp).save(tmp_path / 'a.png')
  np.testing.assert_array_equal(
    image_file.decode(tmp_path / 'a.png', size=2)[..., 1],
    [[0, 100], [200, 255]],
  )


def test_transparency_is_composed_over_white(tmp_path):
  pixels = np.array([[[0, 0, 0, 0], [0, 0, 0, 255]]] * 2, np.uint8)
  pixels[1, 0] = (100, 0, 0, 51)  # A fifth opaque.
  Image.fromarray(pixels).save(tmp_path / 'rgba.png')
  image = image_file.decode(tmp_path / 'rgba.png', size=2)
  assert image[0, 0].tolist() == [255, 255, 255]
  assert image[0, 1].tolist() == [0, 0, 0]
  assert image[1, 0].tolist() == [224, 204, 204]

  palette = Image.fromarray(np.zeros((4, 4), np.uint8)).convert('P')
  palette.save(tmp_path / 'p.png', transparency=0)
  assert (image_file.decode(tmp_path / 'p.png', size=2) == 255).all()


def test_cmyk_jpeg(tmp_path):
  ink = np.zeros((8, 8, 4), np.uint8)
  ink[..., 0] = 255  # Cyan.
  Image.fromarray(ink, 'CMYK').save(tmp_path / 'a.jpg', quality=100)
  image = image_file.decode(tmp_path / 'a.jpg', size=4).astype(int)
  assert np.abs(image - (0, 255, 255)).max() <= 3


def test_large_jpeg_decoded_at_reduced_scale_is_the_same_picture(tmp_path):
  _save(tmp_path / 'a.png', _gradient(512, 512))
  _save(tmp_path / 'a.jpg', _gradient(512, 512), quality=95)
  exact, reduced = (
    image_file.decode(tmp_path / name, size=32).astype(int)
    for name in ('a.png', 'a.jpg')
  )
  assert np.abs(exact - reduced).max() <= 4


def test_hidden_foreign_and_nested_files_are_left_out(tmp_path):
  _two_identities(tmp_path)
  _save(tmp_path / 'loose.png')
  _save(tmp_path / 'a' / 'deeper' / '1.png')
  _save(tmp_path / 'a' / '.hidden.png')
  _save(tmp_path / '.cache' / '1.png')
  (tmp_path / 'a' / 'Thumbs.db').write_bytes(b'x')
  (tmp_path / 'notes').mkdir()
  data = folder.read(tmp_path, size=4)
  assert len(data.ids) == 5
  assert data.identities == ('a', 'b')
  assert data.skipped == ()


def test_links_that_loop(tmp_path):
  _two_identities(tmp_path)
  (tmp_path / 'loop').symlink_to(tmp_path)
  (tmp_path / 'a' / 'up').symlink_to(tmp_path)
  (tmp_path / 'self').symlink_to(tmp_path / 'self')
  assert folder.read(tmp_path, size=4).identities == ('a', 'b')

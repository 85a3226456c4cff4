import os
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from absl import logging
from PIL import Image

from palmjax.data.sets import folder
from palmjax.images import bit_depth, image_file


@pytest.fixture
def warnings(monkeypatch):
  """The log's warnings, formatted."""
  lines = []
  monkeypatch.setattr(
    logging, 'warning', lambda text, *args: lines.append(text % args)
  )
  return lines


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


def _many(root, count):
  for i in range(count):
    _save(root / f'p{i % 4}' / f'{i:03}.png')


def _truncate(path):
  content = path.read_bytes()
  path.write_bytes(content[: len(content) // 2])


def test_broken_images_are_skipped_counted_and_named(tmp_path, warnings):
  _many(tmp_path, 40)
  noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
  _save(tmp_path / 'p0' / '000.png', noise)
  _truncate(tmp_path / 'p0' / '000.png')
  (tmp_path / 'p1' / '001.png').write_bytes(b'')
  data = folder.read(tmp_path, size=4)
  assert data.skipped == ('p0/000.png', 'p1/001.png')
  assert len(data.images) == len(data.labels) == len(data.ids) == 38
  assert 'p0/000.png' not in data.ids
  assert any('p0/000.png' in line for line in warnings)
  assert any('p1/001.png' in line for line in warnings)
  assert f'skipped 2 of 40 images in {tmp_path}' in warnings


def test_too_many_broken_images_stop(tmp_path):
  _many(tmp_path, 40)
  for i in (0, 1, 2, 3):
    (tmp_path / f'p{i}' / f'{i:03}.png').write_bytes(b'no image')
  with pytest.raises(ValueError, match=r'4 of 40 images in .* cannot be read'):
    folder.read(tmp_path, size=4)
  with pytest.raises(
    ValueError, match=r'p0/000.png, p1/001.png, p2/002.png and 1 more'
  ):
    folder.read(tmp_path, size=4)


def test_an_identity_without_readable_images_is_none(tmp_path):
  _many(tmp_path, 40)
  (tmp_path / 'lost').mkdir()
  (tmp_path / 'lost' / '1.png').write_bytes(b'no image')
  data = folder.read(tmp_path, size=4)
  assert data.identities == ('p0', 'p1', 'p2', 'p3')
  assert set(data.labels.tolist()) == {0, 1, 2, 3}


@pytest.mark.parametrize(
  'suffix, options', [('.jpg', {'quality': 95}), ('.png', {}), ('.bmp', {})]
)
def test_truncated_file(tmp_path, suffix, options):
  path = tmp_path / f'a{suffix}'
  noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
  _save(path, noise, **options)
  image_file.decode(path, size=8)
  _truncate(path)
  with pytest.raises((OSError, ValueError)):
    image_file.decode(path, size=8)


def test_other_format_under_the_suffix_is_unreadable(tmp_path):
  Image.fromarray(np.zeros((4, 4), np.uint8)).save(
    tmp_path / 'a.jpg', format='gif'
  )
  with pytest.raises(image_file.UnreadableError, match='cannot identify'):
    image_file.decode(tmp_path / 'a.jpg', size=4)


def _bomb(path, width, height):
  """A PNG that claims a size and holds nothing."""

  def chunk(kind, body):
    check = zlib.crc32(kind + body)
    return struct.pack('>I', len(body)) + kind + body + struct.pack('>I', check)

  header = struct.pack('>IIBBBBB', width, height, 8, 2, 0, 0, 0)
  path.write_bytes(
    b'\x89PNG\r\n\x1a\n'
    + chunk(b'IHDR', header)
    + chunk(b'IDAT', zlib.compress(b'\0'))
    + chunk(b'IEND', b'')
  )


@pytest.mark.filterwarnings(
  'ignore::PIL.Image.DecompressionBombWarning',
)
@pytest.mark.parametrize('width', [11_000, 60_000])
def test_decompression_bomb_is_skipped(tmp_path, warnings, width):
  _many(tmp_path, 20)
  _bomb(tmp_path / 'p0' / '000.png', width, 10_000)
  data = folder.read(tmp_path, size=4)
  assert data.skipped == ('p0/000.png',)
  assert 'pixels' in warnings[0]


def test_dangling_link_and_pipe_are_unreadable(tmp_path):
  _many(tmp_path, 60)
  (tmp_path / 'p0' / 'gone.png').symlink_to(tmp_path / 'nowhere.png')
  os.mkfifo(tmp_path / 'p1' / 'pipe.png')
  data = folder.read(tmp_path, size=4)
  assert data.skipped == ('p0/gone.png', 'p1/pipe.png')


@pytest.mark.parametrize(
  'files, message',
  [
    ([], 'is empty; put the images'),
    (['1.png', '2.png'], 'holds 2 images but no identity folder'),
    (['readme.txt'], 'holds no identity folder and no image'),
    (['a/notes.txt', 'b/c/1.png'], 'no image in the 2 folders'),
    (['a/1.png', 'a/2.png', 'b/x.txt'], r'one identity only \(a\)'),
  ],
)
def test_wrong_layouts(tmp_path, files, message):
  for name in files:
    if name.endswith('.png'):
      _save(tmp_path / name)
    else:
      (tmp_path / name).parent.mkdir(exist_ok=True)
      (tmp_path / name).write_text('x')
  with pytest.raises(ValueError, match=message) as caught:
    folder.read(tmp_path, size=4)
  assert '\n' not in str(caught.value)


def test_missing_folder_and_file(tmp_path):
  with pytest.raises(FileNotFoundError, match='there is no folder'):
    folder.read(tmp_path / 'none', size=4)
  _save(tmp_path / 'a.png')
  with pytest.raises(NotADirectoryError, match='is a file'):
    folder.read(tmp_path / 'a.png', size=4)


@pytest.mark.parametrize('shape', [(30, 45, 3), (45, 30, 1), (30, 45)])
def test_arrays_follow_the_rule_of_files(tmp_path, shape):
  array = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
  _save(tmp_path / 'a.png', array.squeeze())
  np.testing.assert_array_equal(
    image_file.square(array, size=16),
    image_file.decode(tmp_path / 'a.png', size=16),
  )


@pytest.mark.parametrize(
  'array, message',
  [
    (np.zeros((8, 8), np.float32), 'float32 pixels; give uint8'),
    (np.zeros((8, 8, 4), np.uint8), r'shape \(8, 8, 4\)'),
    (np.zeros(8, np.uint8), r'shape \(8,\)'),
    (np.zeros((1, 8, 8, 3), np.uint8), r'shape \(1, 8, 8, 3\)'),
    (np.zeros((0, 8, 3), np.uint8), '8 × 0 pixels'),
    (np.broadcast_to(np.uint8(0), (20_000, 10_000)), '10000 × 20000 pixels'),
  ],
)
def test_arrays_that_are_no_images(array, message):
  with pytest.raises(ValueError, match=message):
    image_file.square(array, size=16)


@pytest.mark.parametrize('content', [None, b'', b'no image'])
def test_one_file_that_is_no_image(tmp_path, content):
  path = tmp_path / 'a.png'
  if content is not None:
    path.write_bytes(content)
  with pytest.raises(ValueError, match=r'a\.png: .*; give a JPEG') as caught:
    image_file.read(path, size=16)
  assert '\n' not in str(caught.value)


def test_real_hands():
  root = os.environ.get('PALMJAX_HANDS', '')
  if not os.path.isdir(root):
    pytest.skip('set PALMJAX_HANDS to a folder of hand identities')
  data = folder.read(root, size=32)
  assert len(data.identities) == len(set(data.labels.tolist())) == 131
  assert data.images.shape == (1305, 32, 32, 3)
  assert data.skipped == ()
  # Photographs: no image is constant, no two are equal.
  assert data.images.std(axis=(1, 2, 3)).min() > 5
  assert len(np.unique(data.images.reshape(1305, -1), axis=0)) == 1305


@pytest.mark.parametrize('mode', ['RGBA', 'LA', 'P', 'L', '1', 'I;16', 'CMYK'])
def test_large_images_are_converted_by_rows(monkeypatch, mode):
  values = np.random.default_rng(0).integers(0, 256, (50, 37, 4), np.uint8)
  if mode == 'I;16':
    image = Image.fromarray(257 * values[..., 0].astype(np.uint16))
  else:
    image = Image.fromarray(values)
    image = image.convert('RGB').convert(mode) if mode != 'RGBA' else image
  if mode == 'P':
    image.info['transparency'] = 3
  whole = np.asarray(image_file.to_rgb(image))
  monkeypatch.setattr(bit_depth, 'STRIP', 37 * 7 + 3)
  rows = image_file.to_rgb(image)
  assert (rows.mode, rows.size) == ('RGB', (37, 50))
  np.testing.assert_array_equal(np.asarray(rows), whole)


_DRAW = """
import sys
from PIL import Image
path, mode = sys.argv[1:]
color = (200, 100, 50, 128) if mode == 'RGBA' else 25_700
Image.new(mode, (12_000, 8_000), color).save(path, compress_level=1)
"""
_READ = """
import resource, sys
from palmjax.images import image_file
# What the imports alone take.
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
image = image_file.decode(sys.argv[1], size=32)
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(*image[16, 16], (after - before) / 1024)
"""


@pytest.mark.parametrize(
  'mode, color, limit',
  [('RGBA', (227, 177, 152), 1300), ('I;16', (100, 100, 100), 800)],
)
def test_memory_for_96_megapixels(tmp_path, mode, color, limit):
  path = str(tmp_path / 'large.png')
  for program, *arguments in ((_DRAW, path, mode), (_READ, path)):
    done = subprocess.run(
      [sys.executable, '-W', 'ignore', '-c', program, *arguments],
      check=True,
      capture_output=True,
      text=True,
    )
  *pixel, megabytes = map(float, done.stdout.split())
  np.testing.assert_allclose(pixel, color, atol=1)
  assert megabytes < limit

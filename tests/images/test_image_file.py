"""Files of odd kinds are read as they look, or named in one line."""

import struct
import zlib

import numpy as np
import pytest
from absl import logging
from PIL import Image

from palmjax.images import image_file, letterbox, photo

# Pillow's warnings of damaged tags, and of images that we refuse.
pytestmark = pytest.mark.filterwarnings(
  'ignore::UserWarning:PIL', 'ignore::PIL.Image.DecompressionBombWarning'
)

READERS = {
  'square': lambda path: image_file.decode(path, size=16),
  'photo': photo.read,
  'letterbox': lambda path: letterbox.decode(path, size=16),
}


@pytest.fixture
def warnings(monkeypatch):
  """The log's warnings, formatted."""
  lines = []

  def log_first_n(level, text, number, *args):
    assert (level, number) == (logging.WARNING, 20)
    lines.append(text % args)

  monkeypatch.setattr(logging, 'log_first_n', log_first_n)
  return lines


def _picture(height=24, width=36):
  """Red grows to the right, green downwards."""
  y, x = np.mgrid[:height, :width]
  ramps = [x * 255 / (width - 1), y * 255 / (height - 1), 90 + 0 * x]
  return np.stack(ramps, -1).astype(np.uint8)


def _exif(*entries):
  """A block of EXIF; an entry is (tag, type, count, value of ≤ 4 bytes)."""
  rows = b''.join(
    struct.pack('<HHI', tag, kind, count) + value.ljust(4, b'\0')
    for tag, kind, count, value in entries
  )
  head = b'Exif\0\0II*\0' + struct.pack('<IH', 8, len(entries))
  return head + rows + b'\0' * 4


_SIX = (274, 3, 1, struct.pack('<H', 6))


@pytest.mark.parametrize('reader', READERS)
@pytest.mark.parametrize(
  'exif',
  [
    _exif(_SIX),
    _exif((256, 2, 4, b'big\0'), _SIX),  # A width in words.
    _exif(_SIX, (282, 5, 1, struct.pack('<I', 10**6))),  # Beyond the end.
    _exif(_SIX, (306, 3, 2, struct.pack('<HH', 1, 2))),  # A date in numbers.
    _exif((274, 3, 2, struct.pack('<HH', 6, 1))),
    _exif((274, 2, 2, b'6\0')),
    _exif((274, 4, 1, struct.pack('<I', 6))),
    _exif(_SIX)[:-4],
  ],
)
def test_images_are_turned_whatever_other_tags_say(tmp_path, reader, exif):
  upright = _picture()
  Image.fromarray(upright).save(tmp_path / 'a.png')
  Image.fromarray(np.rot90(upright)).save(
    tmp_path / 'b.jpg', exif=exif, quality=98, subsampling=0
  )
  expected, got = (
    np.asarray(getattr(picture, 'image', picture)).astype(int)
    for picture in map(
      READERS[reader], (tmp_path / 'a.png', tmp_path / 'b.jpg')
    )
  )
  assert got.shape == expected.shape
  assert np.abs(got - expected).max() < 12


@pytest.mark.parametrize(
  'exif',
  [
    _exif((274, 3, 1, struct.pack('<H', 0))),
    _exif((274, 3, 1, struct.pack('<H', 9))),
    _exif((274, 2, 4, b'up\0')),
    _exif((274, 5, 1, struct.pack('<I', 10**6))),
    b'Exif\0\0nothing of the kind',
    b'Exif\0\0II*\0' + b'\xff' * 8,
  ],
)
def test_what_tells_no_turn_turns_nothing(tmp_path, exif):
  Image.fromarray(_picture()).save(tmp_path / 'a.jpg', exif=exif)
  assert photo.read(tmp_path / 'a.jpg').shape == (24, 36, 3)


@pytest.mark.parametrize('turn', range(1, 9))
@pytest.mark.parametrize('suffix', ['png', 'webp'])
def test_every_turn_in_every_format(tmp_path, turn, suffix):
  upright = _picture()
  stored = {
    1: upright,
    2: upright[:, ::-1],
    3: upright[::-1, ::-1],
    4: upright[::-1],
    5: upright.transpose(1, 0, 2),
    6: np.rot90(upright),
    7: np.rot90(upright, 2).transpose(1, 0, 2),
    8: np.rot90(upright, -1),
  }[turn]
  tags = Image.Exif()
  tags[0x0112] = turn
  path = tmp_path / f'a.{suffix}'
  image = Image.fromarray(np.ascontiguousarray(stored))
  image.save(
    path, exif=tags, **({'lossless': True} if suffix == 'webp' else {})
  )
  np.testing.assert_array_equal(photo.read(path), upright)
  size = image_file.upright_size(image.size, turn)
  assert size == upright.shape[1::-1]


@pytest.mark.parametrize(
  'error',
  [
    RuntimeError('odd'),
    struct.error('unpack'),
    KeyError(0),
    AttributeError('x'),
    RecursionError('deep'),
    zlib.error('Error -3'),
    AssertionError(),
    Image.DecompressionBombError('huge'),
    NotImplementedError('no such codec'),
  ],
)
def test_every_error_of_a_decoder_is_one_line(tmp_path, monkeypatch, error):
  path = tmp_path / 'a.jpg'
  Image.fromarray(_picture()).save(path)

  def fail(*_, **__):
    raise error

  monkeypatch.setattr('PIL.ImageFile.ImageFile.load', fail)
  for read in READERS.values():
    reason = image_file.attempt(read, path)
    assert isinstance(reason, str)
    assert reason
    assert '\n' not in reason
  with pytest.raises(image_file.UnreadableError, match=r'a\.jpg: .*; give a'):
    photo.read(path)


@pytest.mark.parametrize('error', [MemoryError, KeyboardInterrupt])
def test_errors_that_no_file_is_to_blame_for(tmp_path, monkeypatch, error):
  path = tmp_path / 'a.jpg'
  Image.fromarray(_picture()).save(path)

  def fail(*_, **__):
    raise error

  monkeypatch.setattr('PIL.ImageFile.ImageFile.load', fail)
  with pytest.raises(error):
    image_file.attempt(photo.read, path)


def test_damaged_bytes_never_raise_another_error(tmp_path):
  generator = np.random.default_rng(0)
  tags = Image.Exif()
  tags[0x0112] = 6
  for suffix in ('jpg', 'png', 'bmp', 'webp'):
    path = tmp_path / f'a.{suffix}'
    options = {} if suffix == 'bmp' else {'exif': tags}
    Image.fromarray(_picture()).save(path, **options)
    whole = path.read_bytes()
    for _ in range(60):
      content = bytearray(whole)
      for place in generator.integers(0, min(len(whole), 300), 4):
        content[place] = generator.integers(256)
      path.write_bytes(content[: generator.integers(1, 2 * len(whole))])
      for read in READERS.values():
        image_file.attempt(read, path)  # Read, or a line.


def _png(path, values, kind):
  """A 16-bit PNG; kind is that of its header: 0 grey, 2 RGB, 6 RGBA."""

  def chunk(name, body):
    check = struct.pack('>I', zlib.crc32(name + body))
    return struct.pack('>I', len(body)) + name + body + check

  height, width = values.shape[:2]
  rows = b''.join(b'\0' + row.astype('>u2').tobytes() for row in values)
  head = struct.pack('>IIBBBBB', width, height, 16, kind, 0, 0, 0)
  path.write_bytes(
    b'\x89PNG\r\n\x1a\n'
    + chunk(b'IHDR', head)
    + chunk(b'IDAT', zlib.compress(rows))
    + chunk(b'IEND', b'')
  )


def _deep(kind, depth):
  picture = _picture().astype(np.uint32)
  grey = picture[..., 0]
  grey[-1, -1] = 255
  values = grey if kind == 0 else picture
  values = (values * (2**depth - 1) + 127) // 255
  if kind == 6:
    opaque = np.full((*grey.shape, 1), 65535)
    values = np.concatenate([values, opaque], axis=-1)
  return values.astype(np.uint16)


@pytest.mark.parametrize('kind', [0, 2, 6])
@pytest.mark.parametrize('depth', [10, 12, 14, 16])
def test_bits_that_are_used_are_scaled(tmp_path, warnings, kind, depth):
  _png(tmp_path / 'a.png', _deep(kind, depth), kind)
  got = photo.read(tmp_path / 'a.png').astype(int)
  want = _picture().astype(int)
  if kind == 0:
    want = np.repeat(want[..., :1], 3, axis=-1)
    want[-1, -1] = 255
  assert np.abs(got - want).max() <= 1
  line = f'{tmp_path}/a.png: {depth} of 16 bits are used, and scaled to 8 '
  assert warnings == (
    [] if depth == 16 else [f'{line}(told of 20 images at most)']
  )


@pytest.mark.parametrize('kind', [0, 2])
def test_8_bits_moved_up_to_12(tmp_path, warnings, kind):
  values = _picture()[..., 0] if kind == 0 else _picture()
  _png(tmp_path / 'a.png', values.astype(np.uint16) << 4, kind)
  got = photo.read(tmp_path / 'a.png').astype(int)
  want = values[..., None] if kind == 0 else values
  assert np.abs(got - want).max() <= 1
  assert len(warnings) == 1


@pytest.mark.parametrize('kind', [0, 2])
@pytest.mark.parametrize('factor', [257, 256])
def test_dark_images_of_16_bits_stay_dark(tmp_path, warnings, kind, factor):
  dark = _picture() // 16
  values = dark[..., 0] if kind == 0 else dark
  _png(tmp_path / 'a.png', values.astype(np.uint16) * factor, kind)
  got = photo.read(tmp_path / 'a.png')
  assert got.max() == 15
  assert warnings == []
  _png(tmp_path / 'a.png', np.zeros_like(values, np.uint16), kind)
  assert photo.read(tmp_path / 'a.png').max() == 0
  assert warnings == []


def test_depth_is_that_of_the_whole_image(tmp_path, warnings):
  # Bright only outside the centred square.
  values = np.full((20, 60), 1001, np.uint16)
  values[:, 0] = 60_000
  _png(tmp_path / 'a.png', values, 0)
  assert image_file.decode(tmp_path / 'a.png', size=8).max() <= 4
  assert warnings == []


def test_what_is_wrong_with_a_file_is_told_in_words(tmp_path):
  Image.fromarray(_picture()).save(tmp_path / 'whole.jpg')
  whole = (tmp_path / 'whole.jpg').read_bytes()
  kinds = 'give a JPEG, PNG, BMP or WebP image'
  for name, content, words in (
    ('empty.jpg', b'', 'the file is empty'),
    ('text.png', b'no image', 'is no image that can be read'),
    ('half.jpg', whole[: len(whole) // 2], 'the end of the file is missing: '),
  ):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(image_file.UnreadableError) as error:
      image_file.read(path, size=8)
    assert str(error.value).startswith(f'{path}: {words}')
    assert str(error.value).endswith(f'; {kinds}')
    assert str(error.value).count(name) == 1

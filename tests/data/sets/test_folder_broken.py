"""Images and folders that cannot be read."""

import os
import struct
import zlib

import numpy as np
import pytest
from absl import logging
from PIL import Image

from palmjax.data.sets import folder
from palmjax.images import image_file


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
  with pytest.raises(
    image_file.UnreadableError, match='is no image that can be read'
  ):
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

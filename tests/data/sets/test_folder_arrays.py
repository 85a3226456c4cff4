"""Single images and arrays by the rule of files, and what they take."""

import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from palmjax.data.sets import folder
from palmjax.images import bit_depth, image_file


def _save(path, array=None, **options):
  path.parent.mkdir(parents=True, exist_ok=True)
  if array is None:
    array = np.full((8, 8, 3), 128, np.uint8)
  Image.fromarray(array).save(path, **options)


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


@pytest.mark.slow
@pytest.mark.parametrize(
  'mode, color, limit',
  [
    ('RGBA', (227, 177, 152), 1300),
    ('I;16', (100, 100, 100), 800),
  ],
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

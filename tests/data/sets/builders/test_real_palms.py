"""Encoding of images; tests/data/test_prepare.py has the whole way to disk."""

import io
import os

import numpy as np
import pytest
from PIL import Image

from palmjax.data.sets.builders import layout, real_palms
from palmjax.images import image_file


def _noise(*shape):
  return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def _decoded(data):
  with Image.open(io.BytesIO(data)) as image:
    return image.format, np.asarray(image)


@pytest.mark.parametrize('suffix', ['bmp', 'tif'])
@pytest.mark.parametrize('shape', [(7, 9), (7, 9, 3)])
def test_bmp_and_tiff_become_png_without_loss(tmp_path, suffix, shape):
  path = tmp_path / f'a.{suffix}'
  Image.fromarray(_noise(*shape)).save(path)
  kind, pixels = _decoded(real_palms.encode(path))
  assert kind == 'PNG'
  np.testing.assert_array_equal(pixels, _noise(*shape))


@pytest.mark.parametrize('suffix', ['webp', 'tif'])
def test_images_that_become_png_are_turned(tmp_path, suffix):
  exif = Image.Exif()
  exif[0x0112] = 6
  path = tmp_path / f'a.{suffix}'
  options = {'lossless': True} if suffix == 'webp' else {}
  Image.fromarray(_noise(7, 9, 3)).save(path, exif=exif, **options)
  kind, pixels = _decoded(real_palms.encode(path))
  assert kind == 'PNG'
  np.testing.assert_array_equal(pixels, np.rot90(_noise(7, 9, 3), -1))


def test_16_bits_stay_16_bits(tmp_path):
  deep = np.arange(12, dtype=np.uint16).reshape(3, 4) * 5000
  Image.fromarray(deep).save(tmp_path / 'a.tif')
  _, pixels = _decoded(real_palms.encode(tmp_path / 'a.tif'))
  np.testing.assert_array_equal(pixels, deep)


@pytest.mark.parametrize('suffix', ['jpg', 'png'])
def test_jpeg_and_png_bytes_are_kept(tmp_path, suffix):
  path = tmp_path / f'a.{suffix}'
  exif = Image.Exif()
  exif[0x0112] = 6
  Image.fromarray(_noise(8, 8, 3)).save(path, exif=exif)
  assert real_palms.encode(path) == path.read_bytes()


@pytest.mark.parametrize('suffix', ['jpg', 'png', 'bmp', 'tif'])
def test_half_a_file_is_no_image(tmp_path, suffix):
  path = tmp_path / f'a.{suffix}'
  Image.fromarray(_noise(64, 64, 3)).save(path)
  path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
  assert isinstance(image_file.attempt(real_palms.encode, path), str)


def test_what_is_no_file_is_no_image(tmp_path):
  os.mkfifo(tmp_path / 'pipe.png')
  for name, why in (
    ('pipe.png', 'not a file'),
    ('none.png', 'there is no such file'),
  ):
    assert image_file.attempt(real_palms.encode, tmp_path / name) == why


def test_names_that_are_not_utf_8_name_a_config(tmp_path):
  record = layout.Record(
    path='\udce9.png', identity='a', person='a', hand='left', sample=1
  )
  name = real_palms.make_config(tmp_path, (record,)).name
  assert name.startswith('1_images_')


def test_config_is_named_after_its_files(put):
  source = put('a.png', 'b.png')

  def name(*paths):
    records = tuple(
      layout.Record(path=p, identity=p, person=p, hand='left', sample=1)
      for p in paths
    )
    return real_palms.make_config(source, records).name

  before = name('a.png', 'b.png')
  assert before.startswith('2_images_')
  assert name('a.png', 'b.png') == before
  assert name('a.png', 'c.png') != before
  (source / 'b.png').write_bytes(b'another')
  assert name('a.png', 'b.png') != before

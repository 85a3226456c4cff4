"""Galleries: who is in them, and who is missing and why."""

import os
import types

import numpy as np
import pytest
from PIL import Image

from palmjax.images import image_tree
from palmjax.inference import finder, palm_files


def _save(root, *names):
  noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
  for name in names:
    path = os.path.join(os.fsencode(root), os.fsencode(name))
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, 'wb') as file:
      Image.fromarray(noise).save(file, 'PNG')


def _read(root):
  return palm_files.read_gallery(
    root, lambda path: palm_files.read(path, size=8)
  )


def test_who_cannot_be_read_is_named(tmp_path):
  _save(tmp_path, 'anna/1.png', 'anna/2.PNG', 'bob.webp', 'hid/.1.png')
  _save(tmp_path, 'dora/old/1.png', '.cache/1.png')
  for name in ('anna/3.png', 'carl/1.png', 'eve.jpg'):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(b'no image')
  for name in ('fred/1.HEIC', 'gina.tif', 'readme.txt', 'anna/notes.txt'):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(b'x')
  (tmp_path / 'anna' / 'up').symlink_to(tmp_path)
  (tmp_path / 'ida').mkdir()
  (tmp_path / 'ida' / '1.png').symlink_to(tmp_path / 'nowhere')
  listing = _read(tmp_path)
  assert list(listing.palms) == ['anna/1.png', 'anna/2.PNG', 'bob.webp']
  assert listing.missing == (
    *('carl', 'dora', 'eve.jpg', 'fred', 'gina.tif', 'hid', 'ida'),
  )
  for line in (
    'dora/old: a folder that lies too deep',
    'fred/1.HEIC: not read; give a JPEG',
    'gina.tif: not read',
    f'{tmp_path}/anna/3.png: is no image',
    f'{tmp_path}/ida/1.png: not a file',
    'hid: no image of this palm can be read',
  ):
    assert any(one.startswith(line) for one in listing.left_out), line


def test_a_folder_that_cannot_be_listed_is_named(tmp_path, monkeypatch):
  _save(tmp_path, 'anna/1.png', 'bob/1.png')
  scandir = os.scandir

  def refuse(path):
    if os.path.basename(path) == 'bob':
      raise PermissionError(13, 'Permission denied', path)
    return scandir(path)

  monkeypatch.setattr(image_tree.os, 'scandir', refuse)
  listing = _read(tmp_path)
  assert listing.missing == ('bob',)
  assert listing.left_out[0] == 'bob: Permission denied'


def test_names_that_are_not_utf_8_or_have_two_spellings(tmp_path):
  _save(tmp_path, b'g\xfcnter/1.png', 'Jörg/1.png', 'Jo\u0308rg/2.png')
  listing = _read(tmp_path)
  assert sorted(listing.palms) == [
    'Jo\u0308rg/2.png',
    'Jörg/1.png',
    'g\\xfcnter/1.png',
  ]
  assert {*map(palm_files.identity, listing.palms)} == {'Jörg', 'g\\xfcnter'}
  assert listing.missing == ()
  os.truncate(os.path.join(os.fsencode(tmp_path), b'g\xfcnter/1.png'), 9)
  listing = _read(tmp_path)
  assert listing.missing == ('g\\xfcnter',)
  for line in listing.left_out:
    line.encode()


def test_galleries_without_a_palm(tmp_path):
  with pytest.raises(ValueError, match='there is no folder'):
    _read(tmp_path / 'none')
  with pytest.raises(ValueError, match=r'no image in .*: looked for'):
    _read(tmp_path)
  (tmp_path / 'a.heic').touch()
  with pytest.raises(ValueError, match=r'no image in .*; a\.heic: not read'):
    _read(tmp_path)
  (tmp_path / 'a.png').touch()
  with pytest.raises(ValueError, match='can be read as a palm'):
    _read(tmp_path)


def test_pictures_of_detect_are_passed_over(tmp_path):
  _save(tmp_path, 'a_boxes.jpg', 'a_roi0.png', 'b/c_boxes.jpg', 'b/c_roi1.png')
  # Somebody's own name.
  _save(tmp_path, 'my_boxes.jpg')
  for name in ('a.json', 'b/c.json'):
    (tmp_path / name).write_text('{}')
  listing = _read(tmp_path)
  assert list(listing.palms) == ['a_roi0.png', 'b/c_roi1.png', 'my_boxes.jpg']
  assert (listing.left_out, listing.missing, listing.pictures) == ((), (), 2)


def test_images_that_are_too_small(tmp_path):
  noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
  for size, fits in (((32, 40), True), ((40, 31), False), ((8, 8), False)):
    path = tmp_path / 'a.png'
    Image.fromarray(noise[: size[1], : size[0]]).save(path)
    if fits:
      assert palm_files.read(path, size=16).image.shape == (16, 16, 3)
      continue
    with pytest.raises(ValueError, match=r'a\.png: .*32 × 32 pixels or more$'):
      palm_files.read(path, size=16)


@pytest.mark.parametrize(
  'gesture, spread, message',
  [
    ('fist', 0.0, "but 'fist'; show an open hand, its palm to the camera"),
    ('five', 20.0, "but the back of 'five'; show an open hand"),
    ('five', 0.0, "open hand, 'five', whose palm is not clear; show the palm"),
  ],
)
def test_hands_without_a_palm_get_advice_that_fits(gesture, spread, message):
  points = np.array([[30.0, 30.0], [30.0 + spread, 30.0], [40.0, 60.0]])
  hand = finder.Hand(np.array([20.0, 10, 60, 70]), gesture, 0.9, points, 0.2)
  with pytest.raises(ValueError, match=message):
    palm_files.find_palm(
      lambda photo: [hand], np.zeros((80, 80, 3), np.uint8), size=32
    )


@pytest.mark.parametrize('spread, enlarged', [(16, True), (20, False)])
def test_how_wide_the_palm_is_in_the_photo(spread, enlarged):
  points = np.array([[30.0, 30.0], [30.0 + spread, 30.0], [40.0, 70.0]])
  hand = finder.Hand(np.array([20.0, 10, 60, 70]), 'five', 0.9, points, 0.9)
  palm = palm_files.find_palm(
    lambda photo: [hand], np.zeros((80, 80, 3), np.uint8), size=32
  )
  assert palm.width == pytest.approx(1.8 * spread)
  assert palm.enlarged == enlarged


def test_a_palm_alone_is_no_photo(tmp_path):
  _save(tmp_path, 'a.png')
  with pytest.raises(ValueError, match=r'palm alone, leave out --photos$'):
    palm_files.read_photo(lambda photo: [], tmp_path / 'a.png', size=32)


def test_a_palm_twice_in_a_folder_is_refused_at_once(tmp_path):
  names = [f'p{i}/{side}.png' for i in range(9) for side in ('left', 'right')]
  _save(tmp_path, 'a.png', *names, 'p5/again.png')
  read = []

  def look(path):
    read.append(os.path.basename(path))
    if 'p3/left' in path:
      raise ValueError(f'{path}: nothing to see')
    side = 'left' if 'left' in path else 'right'
    hand = types.SimpleNamespace(side=side)
    return palm_files.Palm(np.zeros((8, 8, 3), np.uint8), hand)

  with pytest.raises(
    ValueError, match=r'9 folders hold several .* such as p5:'
  ):
    palm_files.read_gallery(tmp_path, look, each_once=True)
  assert read == ['again.png', 'left.png', 'right.png']

  # Left and right are two palms, and an image that cannot be read is none.
  (tmp_path / 'p5' / 'again.png').unlink()
  gallery = palm_files.read_gallery(tmp_path, look, each_once=True)
  names.remove('p3/left.png')
  assert list(gallery.palms) == ['a.png', *names]
  assert gallery.left_out == (f'{tmp_path}/p3/left.png: nothing to see',)

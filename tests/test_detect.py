"""Photos in, JSON and pictures out; a user's mistake, one line."""

import json
import os

import numpy as np
import pytest
from PIL import Image

from palmjax import detect
from palmjax.inference import finder
from tests import painted_photos


@pytest.fixture
def save(tmp_path):
  def save(name, photo=None, **options):
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if photo is None:
      photo = painted_photos.paint(painted_photos.PALM)
    Image.fromarray(photo).save(path, **options)
    return path

  return save


@pytest.fixture
def run(tmp_path, capsys, monkeypatch):
  """Runs the command; returns (code, lines, complaints)."""
  monkeypatch.setattr(finder, 'load', lambda *_, **__: painted_photos.find)

  def run(*arguments, out=tmp_path / 'out'):
    code = detect.main([*map(str, arguments), f'--out={out}'])
    return code, *(text.splitlines() for text in capsys.readouterr())

  return run


def names(directory):
  return sorted(path.name for path in directory.iterdir())


def test_what_is_written_of_a_photo(run, save, tmp_path):
  photo = painted_photos.paint(
    painted_photos.PALM, (1, 50, 5, 70, 25), (2, 75, 5, 85, 15)
  )
  path = save('a.png', photo)
  code, lines, errors = run(path, '--size=24')
  assert (code, errors) == (0, [])
  assert lines == [
    f'{path}: five 0.43 (left, palm of 21 px, enlarged), '
    'four 0.34 (right, back), fist 0.31',
    f'3 hands in 1 image, 1 palm cut out; results in {tmp_path}/out',
  ]
  out = tmp_path / 'out'
  assert names(out) == ['a.json', 'a_boxes.jpg', 'a_roi0.png']
  description = json.loads((out / 'a.json').read_text())
  size = (description['width'], description['height'])
  assert (description['image'], *size) == (str(path), 90, 60)
  palm, back, fist = description['hands']
  assert palm == {
    'box': [10, 10, 40, 50],
    'gesture': 'five',
    'score': 0.4333,
    'hand': 'left',
    'facing': 0.9,
    'palm': {
      'index_middle': [19, 26],
      'ring_little': [31, 26],
      'wrist': [25, 50],
    },
    'roi': 'a_roi0.png',
  }
  assert (back['hand'], back['facing'], back['roi']) == ('right', 0.2, None)
  assert [fist[name] for name in ('hand', 'facing', 'palm', 'roi')] == [
    None
  ] * 4
  roi = np.asarray(Image.open(out / 'a_roi0.png'))
  # d = 12: the ROI lies in the red.
  assert roi.shape == (24, 24, 3)
  assert (roi == [200, 20, 20]).all()
  with Image.open(out / 'a_boxes.jpg') as picture:
    assert picture.size == (8 * 90, 8 * 60)
    drawn = np.asarray(picture).astype(int)
  plain = photo.repeat(8, axis=0).repeat(8, axis=1)
  changed = np.abs(drawn - plain).max(axis=-1) > 90
  # Edges of boxes; the ROI's upper edge, 1.2 below the valleys; no such of the
  # back; dots of its valleys; nothing where nothing is.
  for x, y in ((10, 30), (40, 30), (60, 25), (25, 27.2), (56, 13), (64, 13)):
    assert changed[
      round(8 * y) - 3 : round(8 * y) + 3, 8 * x - 3 : 8 * x + 3
    ].any()
  assert not changed[8 * 52 :, 8 * 45 :].any()
  np.testing.assert_array_equal(np.asarray(Image.open(path)), photo)


def test_palms_that_are_enlarged_are_told(run, save):
  path = save('a.png', painted_photos.paint(painted_photos.PALM))
  for size, enlarged in ((20, False), (22, True), (224, True)):
    _, (line, _), _ = run(path, f'--size={size}')
    assert line.endswith('palm of 21 px, enlarged)' if enlarged else 'palm)')
  large = painted_photos.paint((0, 10, 10, 110, 150), shape=(200, 200))
  _, (line, _), _ = run(save('b.png', large))
  assert line.endswith('palm)')


def test_large_photos_are_told_in_their_own_pixels(run, save, tmp_path):
  photo = painted_photos.paint((0, 1000, 400, 1600, 1200), shape=(2000, 3500))
  run(save('big.jpg', photo, quality=95))
  (hand,) = json.loads((tmp_path / 'out' / 'big.json').read_text())['hands']
  np.testing.assert_allclose(hand['box'], [1000, 400, 1600, 1200], atol=8)
  with Image.open(tmp_path / 'out' / 'big_boxes.jpg') as picture:
    assert picture.size == (1167, 667)


def test_photos_are_turned_upright(run, save, tmp_path):
  tags = Image.Exif()
  tags[0x0112] = 6
  photo = np.rot90(painted_photos.paint(painted_photos.PALM))
  run(save('a.png'), save('b.png', photo, exif=tags))
  upright, turned = (
    json.loads((tmp_path / 'out' / name).read_text())
    for name in ('a.json', 'b.json')
  )
  assert {**turned, 'image': None} == {
    **upright,
    'image': None,
    'hands': [{**upright['hands'][0], 'roi': 'b_roi0.png'}],
  }


def test_photos_without_hands_are_named_and_no_error(run, save, tmp_path):
  code, lines, errors = run(
    save('a.png'), save('b.png', painted_photos.paint())
  )
  assert (code, errors) == (0, [])
  assert lines[1:] == [
    f'{tmp_path}/b.png: no hand',
    f'1 hand in 1 of 2 images, 1 palm cut out; results in {tmp_path}/out',
  ]
  assert names(tmp_path / 'out')[-2:] == ['b.json', 'b_boxes.jpg']
  assert json.loads((tmp_path / 'out' / 'b.json').read_text())['hands'] == []


def test_the_rest_is_done_where_files_cannot_be_read(run, save, tmp_path):
  (tmp_path / 'text.jpg').write_text('no image')
  code, lines, errors = run(
    tmp_path / 'text.jpg', tmp_path / 'none.png', save('a.png')
  )
  assert code == 1
  assert lines[-1] == (
    f'1 hand in 1 image, 1 palm cut out, 2 not read; results in {tmp_path}/out'
  )
  assert len(errors) == 2
  assert errors[0].startswith(f'palmjax: {tmp_path}/text.jpg: is no image')
  assert 'none.png: there is no such file' in errors[1]


@pytest.mark.parametrize('error', [RuntimeError('odd'), KeyError(3)])
def test_no_error_of_one_photo_ends_the_batch(
  run, save, tmp_path, monkeypatch, error
):
  def fail_on_small(photo):
    if len(photo) < 10:
      raise error
    return painted_photos.find(photo)

  monkeypatch.setattr(finder, 'load', lambda *_, **__: fail_on_small)
  paths = save('a.png', painted_photos.paint(shape=(5, 5))), save('b.png')
  code, lines, errors = run(*paths)
  assert (code, len(lines)) == (1, 2)
  assert lines[0].startswith(f'{tmp_path}/b.png: five')
  (line,) = errors
  assert line.startswith(f'palmjax: {tmp_path}/a.png: {type(error).__name__}')


def test_names_that_are_not_utf_8(run, save, tmp_path):
  photo = save('a.png').read_bytes()
  folder = os.path.join(os.fsencode(tmp_path), b'in\xe9')
  os.mkdir(folder)
  for name in (b'h\xe4nd.png', b'\xca\xd6.jpg'):
    with open(os.path.join(folder, name), 'wb') as file:
      file.write(photo if name.endswith(b'png') else b'no image')
  code, lines, errors = run(os.fsdecode(folder))
  assert code == 1
  assert lines[0].startswith(f'{tmp_path}/in\\xe9/h\\xe4nd.png: five')
  (error,) = errors
  assert f'{tmp_path}/in\\xe9/\\xca\\xd6.jpg: is no image' in error
  out = tmp_path / 'out'
  assert names(out)[0] == 'h\\xe4nd.json'
  description = json.loads((out / 'h\\xe4nd.json').read_text())
  assert description['image'].endswith('in\\xe9/h\\xe4nd.png')
  assert (out / description['hands'][0]['roi']).is_file()


def test_what_a_folder_hides_is_named(run, save, tmp_path, monkeypatch):
  for name in ('in/a.png', 'in/anna/b.webp', 'in/carl/c.png', 'away/d.png'):
    save(name)
  (tmp_path / 'in' / 'e.HEIC').touch()
  (tmp_path / 'in' / 'f.jpg').symlink_to(tmp_path / 'nowhere')
  (tmp_path / 'in' / 'dora').symlink_to(tmp_path / 'away')
  (tmp_path / 'in' / 'anna' / 'up').symlink_to(tmp_path / 'in')
  scandir = os.scandir

  def refuse(path):
    if os.path.basename(path) == 'carl':
      raise PermissionError(13, 'Permission denied', path)
    return scandir(path)

  monkeypatch.setattr(os, 'scandir', refuse)
  for given in (tmp_path / 'in', f'{tmp_path}/in/**', f'{tmp_path}/i*/**'):
    code, lines, errors = run(given)
    assert code == 1
    assert [
      line.split(':')[0].rpartition('/in/')[2] for line in lines[:-1]
    ] == [
      *('a.png', 'anna/b.webp', 'dora/d.png'),
    ]
    assert sum('carl: Permission denied' in error for error in errors) == 1
    assert any('e.HEIC: ' in error for error in errors)
    assert any('f.jpg: not a file' in error for error in errors)


@pytest.mark.parametrize('shape', [(1, 1), (1, 4000), (4000, 1), (2, 2)])
def test_photos_of_odd_shapes(run, save, shape):
  code, lines, errors = run(
    save('a.png', painted_photos.paint(shape=shape)), save('b.png')
  )
  assert (code, errors) == (0, [])
  assert len(lines) == 3


def test_palms_that_lie_outside_are_told(run, save, tmp_path):
  # d = 36 of 60 pixels of height: most of the ROI is below the photo.
  code, *_ = run(save('a.png', painted_photos.paint((0, 0, 50, 90, 60))))
  assert code == 0
  (hand,) = json.loads((tmp_path / 'out' / 'a.json').read_text())['hands']
  assert hand['roi'] is None
  assert hand['roi_missing'].startswith('most of the palm lies outside')
  assert names(tmp_path / 'out') == ['a.json', 'a_boxes.jpg']


def test_folders_and_patterns(run, save, tmp_path):
  for name in ('in/b.png', 'in/deep/er/a.jpg', 'in/.hid/c.png', 'in/d.bmp'):
    save(name)
  (tmp_path / 'in' / 'readme.txt').write_text('no image')
  out = tmp_path / 'in' / 'out'
  for _ in range(2):
    # What was written into the folder is not read again; a file is read once.
    code, lines, errors = run(
      tmp_path / 'in', tmp_path / 'in' / 'b.png', out=out
    )
    assert (code, errors) == (0, [])
    assert [line.split(':')[0] for line in lines[:-1]] == [
      f'{tmp_path}/in/{name}' for name in ('b.png', 'd.bmp', 'deep/er/a.jpg')
    ]
  _, lines, _ = run(f'{tmp_path}/in/**/*.jpg')
  assert lines[0].startswith(f'{tmp_path}/in/deep/er/a.jpg: five')
  (tmp_path / 'empty').mkdir()
  code, lines, errors = run(
    f'{tmp_path}/*.gif',
    tmp_path / 'empty',
    tmp_path / 'in',
    out=tmp_path / 'in',
  )
  assert (code, lines) == (
    1,
    ['0 hands in 0 of 0 images, 0 palms cut out, 3 not read'],
  )
  for error, message in zip(
    errors,
    (
      '*.gif: no file has such a name; give photos, or a folder',
      'empty: no image in this folder',
      'in: the results go there; give another --out',
    ),
    strict=True,
  ):
    assert message in error


def test_each_photo_has_results_of_its_own(run, save, tmp_path):
  photos = [save(name) for name in ('a.png', 'A.bmp', 'x/a.png', 'a-2.jpg')]
  run(*photos)
  names_of = {
    json.loads(path.read_text())['image']: path.stem
    for path in (tmp_path / 'out').glob('*.json')
  }
  assert names_of == dict(
    zip(map(str, photos), ('a', 'A-2', 'a-3', 'a-2-2'), strict=True)
  )


@pytest.mark.parametrize('name', ['a_boxes.jpg', 'a_roi0.png', 'A_roi12.PNG'])
def test_no_photo_is_overwritten(run, save, tmp_path, name):
  photos = [save('a.png'), save(name, painted_photos.paint(), format='PNG')]
  before = [path.read_bytes() for path in photos]
  code, *_ = run(*photos, out=tmp_path)
  assert code == 0
  assert [path.read_bytes() for path in photos] == before
  assert json.loads((tmp_path / 'a-2.json').read_text())['image'] == str(
    photos[0]
  )
  assert not (tmp_path / 'a.json').exists()

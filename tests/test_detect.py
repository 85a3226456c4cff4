"""Photos in, JSON and pictures out; a user's mistake, one line."""

import json
import os

import numpy as np
import pytest
from PIL import Image

from palmjax.inference import finder
from tests import painted_photos

# Fixtures, under the names by which the tests ask for them.
run, save = painted_photos.run, painted_photos.save


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

"""Which files detect reads, of folders and patterns, and where results go."""

import json
import os

import pytest

from tests import painted_photos

# Fixtures, under the names by which the tests ask for them.
run, save = painted_photos.run, painted_photos.save


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

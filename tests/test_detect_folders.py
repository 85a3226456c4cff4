"""Folders of photos become folders of palms; how pictures are drawn."""

import json

from PIL import Image

from palmjax import detect
from palmjax.data.sets import folder
from palmjax.inference import finder
from tests import painted_photos

PHOTO = painted_photos.paint(painted_photos.PALM, (1, 50, 5, 70, 25))


def save(path):
  path.parent.mkdir(parents=True, exist_ok=True)
  Image.fromarray(PHOTO).save(path)


def test_folders_of_palms_become_folders_to_train_on(
  tmp_path, capsys, monkeypatch
):
  monkeypatch.setattr(finder, 'load', lambda *_, **__: painted_photos.find)
  for name in ('in/anna/1.png', 'in/anna/2.png', 'in/ben/1.png', 'in/1.b.png'):
    save(tmp_path / name)
  save(tmp_path / 'x/1.png')
  out = tmp_path / 'out'
  given = [f'{tmp_path}/in', f'{tmp_path}/x/1.png']
  assert detect.main([*given, f'--out={out}', '--size=16']) == 0
  assert capsys.readouterr().err == ''
  crops = sorted(str(path.relative_to(out)) for path in out.rglob('*_roi*'))
  # A file that is named alone, or has no folder, stays beside them.
  assert crops == [
    *('1.b_roi0.png', '1_roi0.png'),
    *('anna/1_roi0.png', 'anna/2_roi0.png', 'ben/1_roi0.png'),
  ]
  description = json.loads((out / 'ben' / '1.json').read_text())
  assert description['hands'][0]['roi'] == '1_roi0.png'
  read = folder.read(out, size=16)
  assert read.ids == ('anna/1_roi0.png', 'anna/2_roi0.png', 'ben/1_roi0.png')
  assert (read.images[0] == read.images[2]).all()


def test_palms_and_other_hands_differ_in_colour():
  hands = painted_photos.find(PHOTO)
  blue, orange = (
    [
      (detect.picture(PHOTO, [hand]) == color).all(axis=-1).sum()
      for hand in hands
    ]
    for color in ((120, 200, 255), (255, 160, 90))
  )
  assert min(blue[0], orange[1]) > 100
  assert (blue[1], orange[0]) == (0, 0)

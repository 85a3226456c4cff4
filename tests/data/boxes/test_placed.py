"""One rule for images that are turned, in every format; boxes told twice."""

import json
import os

import numpy as np
import pytest
from absl import logging
from PIL import Image

from palmjax.data.boxes import boxes, formats, placed
from palmjax.images import image_file

_WIDTH, _HEIGHT = 120, 160  # As shown.
_BOX = (12, 16, 48, 64)


def _photo(path, turn):
  """A white square in the place of the box, stored turned."""
  shown = np.full((_HEIGHT, _WIDTH, 3), 60, np.uint8)
  shown[_BOX[1] : _BOX[3], _BOX[0] : _BOX[2]] = 250
  back = {6: 8, 8: 6}.get(turn, turn)
  stored = image_file.turned(Image.fromarray(shown), back)
  tags = Image.Exif()
  tags[0x0112] = turn
  path.parent.mkdir(parents=True, exist_ok=True)
  stored.save(path, quality=95, exif=tags)
  return stored.size


def _yolo(root, turn):
  _photo(root / 'train/images/a.jpg', turn)
  (root / 'train/labels').mkdir()
  (root / 'train/labels/a.txt').write_text('0 .25 .25 .3 .3\n')
  (root / 'data.yaml').write_text('names: [five]\n')


def _coco(root, turn, by_stored=False):
  size, box = _of_file(_photo(root / 'train/a.jpg', turn), turn, by_stored)
  x0, y0, x1, y1 = box
  content = {
    'images': [
      {'id': 1, 'file_name': 'a.jpg', 'width': size[0], 'height': size[1]}
    ],
    'annotations': [
      {'image_id': 1, 'category_id': 1, 'bbox': [x0, y0, x1 - x0, y1 - y0]}
    ],
    'categories': [{'id': 1, 'name': 'five'}],
  }
  (root / 'train/_annotations.coco.json').write_text(json.dumps(content))


def _voc(root, turn, by_stored=False):
  size = _photo(root / 'JPEGImages/a.jpg', turn)
  size, (x0, y0, x1, y1) = _of_file(size, turn, by_stored)
  ends = {'xmin': x0 + 1, 'ymin': y0 + 1, 'xmax': x1, 'ymax': y1}
  box = ''.join(f'<{name}>{end}</{name}>' for name, end in ends.items())
  for name in ('Annotations', 'ImageSets/Main'):
    (root / name).mkdir(parents=True)
  (root / 'Annotations/a.xml').write_text(
    f'<annotation><size><width>{size[0]}</width><height>{size[1]}</height>'
    f'</size><object><name>five</name><bndbox>{box}</bndbox></object>'
    '</annotation>'
  )
  (root / 'ImageSets/Main/train.txt').write_text('a\n')


def _of_file(stored, turn, by_stored):
  """(size, box) that the file tells: of the image as shown, or as stored."""
  if not by_stored:
    return (_WIDTH, _HEIGHT), _BOX
  # A quarter turn back is a quarter turn to the other side.
  back = {6: 8, 8: 6}.get(turn, turn)
  box = placed.turned(np.array(_BOX, float), back, (_WIDTH, _HEIGHT))
  return stored, box.tolist()


def _check(root, form):
  annotations = boxes.read(root, form=form, split='train', bad='refuse')
  np.testing.assert_allclose(annotations.images[0].boxes, [_BOX], atol=1e-4)
  arrays = boxes.load(annotations, size=80).arrays
  x0, y0, x1, y1 = np.round(arrays['boxes'][0, 0]).astype(int)
  (image,) = arrays['image'].astype(int)
  assert image[y0 + 1 : y1 - 1, x0 + 1 : x1 - 1].min() > 235
  image[y0 - 1 : y1 + 1, x0 - 1 : x1 + 1] = 60
  assert image.max() < 140


@pytest.mark.parametrize('turn', range(1, 9))
@pytest.mark.parametrize(
  'form, write', [('yolo', _yolo), ('coco', _coco), ('voc', _voc)]
)
def test_boxes_lie_where_they_are_shown(
  tmp_path, monkeypatch, form, write, turn
):
  lines = []
  monkeypatch.setattr(
    logging, 'info', lambda text, *args: lines.append(text % args)
  )
  write(tmp_path, turn)
  _check(tmp_path, form)
  assert sum('turned 1 images upright' in x for x in lines) == (turn > 1)


@pytest.mark.parametrize('turn', range(5, 9))
@pytest.mark.parametrize('form, write', [('coco', _coco), ('voc', _voc)])
def test_boxes_of_the_stored_image_are_turned_with_it(
  tmp_path, form, write, turn
):
  write(tmp_path, turn, by_stored=True)
  _check(tmp_path, form)


def test_another_size_is_neither(tmp_path):
  listed = formats.Listed('a.jpg', [], (50, 60))
  pixels, _, problems = placed.place(listed, (40, 30), 6, {})
  assert pixels is None
  assert problems[0].startswith('a.jpg: boxes are in 50 × 60 pixels')


def test_boxes_that_are_told_twice():
  rows = [
    formats.Row(f'a.txt:{k}', label, box)
    for k, (label, box) in enumerate(
      [
        (0, (0.1, 0.1, 0.5, 0.5)),
        (1, (0.1, 0.1, 0.5, 0.5)),
        (0, (0.1, 0.1, 0.5, 0.500001)),
        (0, (0.1, 0.1, 0.5, 0.51)),
        (1, (0.1, 0.1, 0.5, 0.5)),
      ],
      1,
    )
  ]
  pixels, classes, problems = placed.place(
    formats.Listed('a.jpg', rows, ()), (100, 100), 1, {0: 0, 1: 1}
  )
  assert classes.tolist() == [0, 1, 0]
  assert pixels[:, 3].tolist() == [50, 50, 51]
  assert problems == [
    'a.txt:3: the same box as a.txt:1; read once',
    'a.txt:5: the same box as a.txt:2; read once',
  ]


def test_names_that_are_not_utf_8(tmp_path):
  folder = os.fsencode(tmp_path / 'train')
  for name in (b'images', b'labels'):
    os.makedirs(os.path.join(folder, name))
  (tmp_path / 'data.yaml').write_text('names: [five]\n')
  for k in range(2):
    name = os.path.join(folder, b'images', b'\xca\xd6%d.png' % k)
    with open(name, 'wb') as file:
      Image.new('RGB', (20, 20)).save(file, 'PNG')
    name = os.path.join(folder, b'labels', b'\xca\xd6%d.txt' % k)
    with open(name, 'wb') as file:
      file.write(b'0 .5 .5 .2 .2\n' if k else b'0 .5 .5 .2\n')
  listing = boxes.read(tmp_path, form='yolo', split='train')
  ids = tuple(rf'train/images/\xca\xd6{k}.png' for k in range(2))
  assert tuple(image.id for image in listing.images) == ids
  assert boxes.load(listing, size=8).ids == ids
  (problem,) = listing.problems
  assert problem.startswith(r'train/labels/\xca\xd60.txt:1: ')

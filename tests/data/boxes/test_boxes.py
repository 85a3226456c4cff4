import json
import os

import numpy as np
import pytest
from absl import logging
from PIL import Image

from palmjax.data.boxes import boxes

_WIDTH, _HEIGHT = 40, 20


@pytest.fixture
def warnings(monkeypatch):
  """The log's warnings, formatted."""
  lines = []
  monkeypatch.setattr(
    logging, 'warning', lambda text, *args: lines.append(text % args)
  )
  return lines


def _save(path, shape=(_HEIGHT, _WIDTH), colour=128, **options):
  path.parent.mkdir(parents=True, exist_ok=True)
  pixels = np.full((*shape, 3), colour, np.uint8)
  Image.fromarray(pixels).save(path, **options)


def _yolo(root, labels, part='train', names="['one', 'two']"):
  """A YOLO set of the images `labels`, {name: text of its label file}."""
  root.mkdir(exist_ok=True)
  (root / 'data.yaml').write_text(f'names: {names}\n')
  (root / part / 'labels').mkdir(parents=True)
  for name, text in labels.items():
    _save(root / part / 'images' / f'{name}.png')
    if text is not None:
      (root / part / 'labels' / f'{name}.txt').write_text(text)
  return root


def _read(root, **options):
  return boxes.read(root, **{'form': 'yolo', 'split': 'train', **options})


_XML = """<annotation>
<size><width>{}</width><height>{}</height></size>
<object><name>two</name><bndbox><xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax>
<ymax>{}</ymax></bndbox></object></annotation>"""


def _voc(root, size=(_WIDTH, _HEIGHT)):
  _save(root / 'JPEGImages' / 'a.jpg')
  for name in ('Annotations', 'ImageSets/Main'):
    (root / name).mkdir(parents=True)
  xml = _XML.format(*size, 9, 3, 24, 18)
  (root / 'Annotations' / 'a.xml').write_text(xml)
  (root / 'ImageSets' / 'Main' / 'train.txt').write_text('a\n')
  return root


def _coco(root):
  _save(root / 'train' / 'a.png')
  content = {
    'categories': [{'id': 4, 'name': 'one'}, {'id': 9, 'name': 'two'}],
    'images': [
      {'id': 1, 'file_name': 'a.png', 'width': _WIDTH, 'height': _HEIGHT}
    ],
    'annotations': [
      {'id': 1, 'image_id': 1, 'category_id': 9, 'bbox': [8, 2, 16, 16]}
    ],
  }
  path = root / 'train' / '_annotations.coco.json'
  path.write_text(json.dumps(content))
  return root


def test_all_forms_read_the_same_box(tmp_path):
  yolo = _yolo(tmp_path / 'yolo', {'a': '1 .4 .5 .4 .8'})
  for form, root, names in (
    ('yolo', yolo, ('one', 'two')),
    ('voc', _voc(tmp_path / 'voc'), ('two',)),
    ('coco', _coco(tmp_path / 'coco'), ('one', 'two')),
  ):
    annotations = boxes.read(root, form=form, split='train', bad='refuse')
    (image,) = annotations.images
    np.testing.assert_allclose(image.boxes, [[8, 2, 24, 18]], atol=1e-5)
    assert image.boxes.dtype == np.float32
    assert annotations.names == names
    assert image.classes.tolist() == [len(names) - 1]
    assert image.classes.dtype == np.int32
    assert image.path == str(root / image.id)
    # In an order that the caller chose.
    annotations = boxes.read(
      root, form=form, split='train', names=('fist', 'two'), bad='refuse'
    )
    assert annotations.names == ('fist', 'two')
    assert annotations.images[0].classes.tolist() == [1]


_GOOD = '0 .5 .5 .5 .5\n'


@pytest.mark.parametrize(
  'line, message, kept',
  [
    ('2 .5 .5 .2 .4', 'unknown class 2', None),
    ('-1 .5 .5 .2 .4', 'unknown class -1', None),
    ('0 .5 nan .2 .4', 'is not finite', None),
    ('0 .5 inf .2 .4', 'is not finite', None),
    ('0 .5 .5 -.2 .4', 'is inverted', None),
    ('0 .5 .5 .2 0', 'is empty', None),
    ('0 1.5 .5 .2 .4', 'is outside the image', None),
    ('0 1.1 .5 .2 .4', 'is outside the image', None),
    ('0 .5 .5', "'0 .5 .5' is no box", None),
    ('0 1 .5 .5 .5', 'is partly outside; clipped', [30, 5, 40, 15]),
    ('0 .5 .5 2 2', 'is partly outside; clipped', [0, 0, 40, 20]),
  ],
)
def test_bad_boxes_are_named_and_clipped_or_refused(
  tmp_path, warnings, line, message, kept
):
  root = _yolo(tmp_path / 'set', {'a': f'{_GOOD}{line}\n1 .5 .5 .5 .5\n'})
  annotations = _read(root)
  (problem,) = annotations.problems
  assert problem.startswith('train/labels/a.txt:2: ')
  assert message in problem
  assert warnings == [problem, f'1 bad boxes in {root}']
  expected = [[10, 5, 30, 15]] * 2
  if kept is not None:
    expected.insert(1, kept)
  np.testing.assert_allclose(annotations.images[0].boxes, expected, atol=1e-4)
  with pytest.raises(ValueError, match=r'1 bad boxes in .*a\.txt:2') as caught:
    _read(root, bad='refuse')
  assert '\n' not in str(caught.value)


def test_rounding_over_the_border_is_cut_silently(tmp_path):
  root = _yolo(tmp_path, {'a': '0 .5 .5 1.04 1.06'})
  annotations = _read(root, bad='refuse')
  assert annotations.images[0].boxes.tolist() == [[0, 0, 40, 20]]


def test_missing_label_file_and_no_object(tmp_path, warnings):
  root = _yolo(tmp_path, {'a': _GOOD, 'b': None, 'c': ''})
  annotations = _read(root)
  assert [len(image.boxes) for image in annotations.images] == [1, 0, 0]
  assert annotations.images[1].boxes.shape == (0, 4)
  assert annotations.problems == (
    'train/labels/b.txt: missing, train/images/b.png is taken to show nothing',
  )
  with pytest.raises(ValueError, match=r'train/labels/b\.txt: missing'):
    _read(root, bad='refuse')


def test_only_the_first_bad_boxes_are_logged(tmp_path, warnings):
  annotations = _read(_yolo(tmp_path, {'a': _GOOD + '7 .5 .5 .2 .4\n' * 30}))
  assert len(annotations.problems) == 30
  assert len(warnings) == 21


def test_a_turned_image_is_given_away_by_its_size(tmp_path, warnings):
  root = _voc(tmp_path, size=(_HEIGHT, _WIDTH))
  message = r'a\.jpg: boxes are in 20 × 40 pixels, the image is stored as 40 ×'
  with pytest.raises(ValueError, match=message):
    boxes.read(root, form='voc', split='train', bad='refuse')
  # Left out; then nothing is left.
  with pytest.raises(ValueError, match='no box of two in the train images'):
    boxes.read(root, form='voc', split='train')


def _many(root, count=40):
  return _yolo(root, {f'{i:03}': _GOOD for i in range(count)})


def test_unreadable_images_are_skipped_counted_and_named(tmp_path, warnings):
  root = _many(tmp_path)
  folder = root / 'train' / 'images'
  (folder / '001.png').write_bytes(b'no image')
  # The head is whole, the rest is not.
  content = (folder / '002.png').read_bytes()
  (folder / '002.png').write_bytes(content[:50])
  annotations = _read(root)
  assert annotations.skipped == ('train/images/001.png',)
  assert len(annotations.images) == 39
  loaded = boxes.load(annotations, size=8)
  assert loaded.skipped == ('train/images/002.png',)
  assert len(loaded.ids) == len(loaded.arrays['image']) == 38
  assert loaded.ids[:2] == ('train/images/000.png', 'train/images/003.png')
  assert any('001.png' in line for line in warnings)
  assert any('002.png' in line for line in warnings)


def test_too_many_unreadable_images_stop(tmp_path):
  root = _many(tmp_path)
  folder = root / 'train' / 'images'
  heads = [(folder / f'00{i}.png').read_bytes()[:50] for i in range(3)]
  for i in range(3):
    (folder / f'00{i}.png').write_bytes(heads[i])
  annotations = _read(root)
  with pytest.raises(ValueError, match=r'3 of 40 images in .* cannot be read'):
    boxes.load(annotations, size=8)
  for i in range(3):
    (folder / f'00{i}.png').write_bytes(b'')
  with pytest.raises(ValueError, match=r'3 of 40 images in .* cannot be read'):
    _read(root)


def test_loaded_arrays(tmp_path):
  # 40 × 20 in a square of 20: half the size, 5 rows of grey above.
  root = _yolo(
    tmp_path,
    {'a': '1 .5 .5 .5 .5\n0 .25 .5 .5 1\n', 'b': '0 .5 .5 1 1', 'c': ''},
  )
  _save(root / 'train' / 'images' / 'b.png', colour=40)
  loaded = boxes.load(_read(root), size=20)
  arrays = loaded.arrays
  assert {k: (v.shape, v.dtype.name) for k, v in arrays.items()} == {
    'image': ((3, 20, 20, 3), 'uint8'),
    'boxes': ((3, 2, 4), 'float32'),
    'classes': ((3, 2), 'int32'),
    'valid': ((3, 2), 'bool'),
    'points': ((3, 2, 3, 2), 'float32'),
    'framed': ((3, 2), 'bool'),
    'facing': ((3, 2), 'bool'),
  }
  np.testing.assert_allclose(
    arrays['boxes'],
    [
      [[5, 7.5, 15, 12.5], [0, 5, 10, 15]],
      [[0, 5, 20, 15], [0, 0, 0, 0]],
      [[0, 0, 0, 0], [0, 0, 0, 0]],
    ],
    atol=1e-5,
  )
  assert arrays['classes'].tolist() == [[1, 0], [0, 0], [0, 0]]
  assert arrays['valid'].tolist() == [[1, 1], [1, 0], [0, 0]]
  assert not arrays['framed'].any()
  assert not arrays['facing'].any()
  assert (arrays['image'][1, 5:15] == 40).all()
  assert (arrays['image'][1, :5] == 128).all()


@pytest.mark.parametrize(
  'options, message',
  [
    ({'form': 'csv'}, r"form='csv': choose one of \['yolo', 'voc', 'coco'\]"),
    ({'split': 'val'}, "split='val': choose one of"),
    ({'bad': 'keep'}, "bad='keep': choose one of"),
    ({'names': ('a', 'a')}, 'two classes of .* have one name'),
    ({'names': ('fist',)}, 'no box of fist in the train images'),
  ],
)
def test_impossible_settings(tmp_path, warnings, options, message):
  with pytest.raises(ValueError, match=message):
    _read(_yolo(tmp_path, {'a': _GOOD}), **options)


def test_missing_folder_and_file(tmp_path):
  with pytest.raises(FileNotFoundError, match='there is no folder'):
    _read(tmp_path / 'none')
  (tmp_path / 'file').touch()
  with pytest.raises(NotADirectoryError, match='is a file'):
    _read(tmp_path / 'file')


def test_real_gestures():
  root = os.environ.get('PALMJAX_GESTURES', '')
  if not os.path.isdir(root):
    pytest.skip('set PALMJAX_GESTURES to the folder of a YOLO set of gestures')
  valid = _read(root, split='valid', bad='refuse')
  assert valid.names == ('five', 'four', 'one', 'three', 'two')
  assert len(_read(root, bad='refuse').images) == 551
  loaded = boxes.load(valid, size=32)
  assert loaded.arrays['image'].shape == (154, 32, 32, 3)
  assert loaded.skipped == ()
  assert loaded.arrays['valid'].all()
  assert set(loaded.arrays['classes'].ravel()) == {0, 1, 2, 3, 4}
  # Hands fill a good part of these photographs.
  side = loaded.arrays['boxes'][:, 0, 2:] - loaded.arrays['boxes'][:, 0, :2]
  assert 8 < np.median(side) < 28

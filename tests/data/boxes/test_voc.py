"""VOC sets whose names do not stand as on disk."""

import os
import unicodedata

import pytest

from palmjax.data.boxes import voc

_XML = (
  '<annotation>{}<object><name>five</name><bndbox><xmin>1</xmin><ymin>1</ymin>'
  '<xmax>9</xmax><ymax>9</ymax></bndbox></object></annotation>'
)


def _write(root, images, listing, xml=None):
  for name in ('JPEGImages', 'Annotations', 'ImageSets/Main'):
    (root / name).mkdir(parents=True, exist_ok=True)
  for name in images:
    path = root / 'JPEGImages' / name
    path.parent.mkdir(exist_ok=True)
    path.touch()
  for name, text in (xml or {}).items():
    (root / 'Annotations' / name).write_text(_XML.format(text))
  (root / 'ImageSets/Main/train.txt').write_text(listing)
  return voc.read_voc(root, 'train')


@pytest.mark.parametrize(
  'file, xml',
  [
    ('A 1.JPG', 'A 1.xml'),
    ('A 1.Jpeg', 'A 1.XML'),
    ('A 1.webp', 'A 1.xml'),
    ('a 1.jpg', 'a 1.xml'),
  ],
)
def test_letters_in_capitals_and_names_with_spaces(tmp_path, file, xml):
  # Another file has the first word of the name.
  source = _write(
    tmp_path, [file, 'A.jpg'], 'A 1\n', {xml: '', 'A.xml': '<object/>'}
  )
  assert [image.path for image in source.images] == [f'JPEGImages/{file}']
  assert len(source.images[0].rows) == 1
  assert source.problems == []


def test_images_and_annotations_in_folders(tmp_path):
  (tmp_path / 'Annotations/five').mkdir(parents=True)
  source = _write(
    tmp_path,
    ['five/a.JPG', 'b.tif'],
    'five/a\nb\n',
    {'five/a.xml': '', 'b.xml': ''},
  )
  # Of another kind: told by its name when it cannot be read.
  assert [image.path for image in source.images] == [
    *('JPEGImages/five/a.JPG', 'JPEGImages/b.tif'),
  ]
  assert source.problems == []


def test_names_in_another_encoding(tmp_path):
  _write(tmp_path, [], '')
  (tmp_path / 'ImageSets/Main/train.txt').write_bytes(b'M\xfcller\n')
  for name in (b'Annotations/M\xfcller.xml', b'JPEGImages/M\xfcller.jpg'):
    with open(os.path.join(os.fsencode(tmp_path), name), 'w') as file:
      file.write(_XML.format(''))
  (image,) = voc.read_voc(tmp_path, 'train').images
  assert len(image.rows) == 1
  assert os.fsencode(image.path) == b'JPEGImages/M\xfcller.jpg'


def test_flags_behind_a_name(tmp_path):
  source = _write(tmp_path, ['a.jpg'], 'a  -1\n', {'a.xml': ''})
  assert [image.path for image in source.images] == ['JPEGImages/a.jpg']


def test_accents_behind_their_letters(tmp_path):
  apart = unicodedata.normalize('NFD', 'Müller.JPG')
  source = _write(tmp_path, [apart], 'Müller\n', {'Müller.xml': ''})
  assert [image.path for image in source.images] == [f'JPEGImages/{apart}']


def test_names_and_images_that_stand_twice(tmp_path):
  source = _write(
    tmp_path,
    ['a.png', 'a.jpg', 'b.jpg', 'b.png'],
    'a\nb\na\n',
    {'a.xml': '', 'b.xml': '<filename>b.png</filename>'},
  )
  assert [image.path for image in source.images] == [
    *('JPEGImages/a.jpg', 'JPEGImages/b.png'),
  ]
  assert source.problems == [
    'JPEGImages/a: JPEGImages/a.jpg is read, of JPEGImages/a.jpg, '
    'JPEGImages/a.png',
    'JPEGImages/b: JPEGImages/b.png is read, of JPEGImages/b.jpg, '
    'JPEGImages/b.png',
    'train.txt: a: JPEGImages/a.jpg stands twice; read once',
  ]

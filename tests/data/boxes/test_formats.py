import numpy as np
import pytest

from palmjax.data.boxes import formats, voc, yolo
from palmjax.data.sets.builders import layout


def _write(root, **files):
  """Files by path; '/' is written '__' and '.' as '_dot_' in the keywords."""
  for name, text in files.items():
    path = root / name.replace('__', '/').replace('_dot_', '.')
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def _yolo(root, lines='0 .5 .5 .2 .4', yaml="names: ['one', 'two']\n"):
  _write(
    root,
    data_dot_yaml=yaml,
    train__images__a_dot_jpg='',
    train__labels__a_dot_txt=lines,
  )


@pytest.mark.parametrize(
  'yaml',
  [
    "train: train/images\nnc: 2\nnames: ['one', 'two']\nval: x\n",
    'names: [one, "two"]  # A comment.',
    "names: ['one',\n  'two']\nnc: 2",
    'path: .\nnames:\n- one\n- two\nnc: 2\n',
    'names:\n  # By number.\n  0: one\n\n  1: two # The second.\n',
    'names:\n  1: two\n  0: one',
    'names: {0: one, 1: two}',
    "names:\n  - 'one'\n  - two\ntrain: x\n",
  ],
)
def test_class_names_of_yolo(tmp_path, yaml):
  _yolo(tmp_path, yaml=yaml)
  source = yolo.read_yolo(tmp_path, 'train')
  assert source.names == {0: 'one', 1: 'two'}


@pytest.mark.parametrize('yaml', ['nc: 2\n', 'names:\nnc: 2\n', 'names: []\n'])
def test_no_class_names(tmp_path, yaml):
  _yolo(tmp_path, yaml=yaml)
  with pytest.raises(ValueError, match=r'data\.yaml: no class names; write'):
    yolo.read_yolo(tmp_path, 'train')


def test_yolo_rows_polygons_and_lines_that_are_no_box(tmp_path):
  lines = (
    '1 .5 .5 .2 .4\n'
    '\n'
    '0 .1 .2 .5 .3 .3 .9\n'  # A triangle.
    '0 .5 .5 .2\n'
    'one .5 .5 .2 .4\n'
    '0.5 .5 .5 .2 .4\n'
    '0 .5 .5 .2 x\n'
  )
  _yolo(tmp_path, lines)
  source = yolo.read_yolo(tmp_path, 'train')
  (image,) = source.images
  assert image.path == 'train/images/a.jpg'
  assert image.size == ()
  assert [row.where for row in image.rows] == [
    'train/labels/a.txt:1',
    'train/labels/a.txt:3',
  ]
  assert [row.label for row in image.rows] == [1, 0]
  np.testing.assert_allclose(image.rows[0].box, [0.4, 0.3, 0.6, 0.7])
  np.testing.assert_allclose(image.rows[1].box, [0.1, 0.2, 0.5, 0.9])
  assert [problem.split(': ')[0] for problem in source.problems] == [
    f'train/labels/a.txt:{line}' for line in (4, 5, 6, 7)
  ]
  assert "'0 .5 .5 .2' is no box" in source.problems[0]


def test_ultralytics_layout_val_and_missing_label_files(tmp_path):
  _write(
    tmp_path,
    data_dot_yaml='names: [hand]',
    images__val__b_dot_png='',
    images__val__a_dot_png='',
    images__val__notes_dot_md='',
    labels__val__b_dot_txt='0 .5 .5 1 1',
  )
  source = yolo.read_yolo(tmp_path, 'valid')
  assert [image.path for image in source.images] == [
    'images/val/a.png',
    'images/val/b.png',
  ]
  assert [len(image.rows) for image in source.images] == [0, 1]
  assert source.problems == [
    'labels/val/a.txt: missing, images/val/a.png is taken to show nothing'
  ]


_XML = """<annotation>
  <size><width>100</width><height>80</height><depth>3</depth></size>
  <object><name>two</name><bndbox>
    <xmin>1</xmin><ymin>11</ymin><xmax>100</xmax><ymax>30</ymax>
  </bndbox></object>
  <object><name>one</name><difficult>1</difficult><bndbox>
    <xmin>1</xmin><ymin>1</ymin><xmax>2</xmax><ymax>2</ymax>
  </bndbox></object>
  <object><name>two</name><bndbox><xmin>1</xmin></bndbox></object>
</annotation>"""


def test_voc(tmp_path):
  _write(
    tmp_path,
    JPEGImages__a_dot_png='',
    Annotations__a_dot_xml=_XML,
    Annotations__b_dot_xml='<annotation>',
    ImageSets__Main__val_dot_txt='a\nb\n\nc -1\n',
  )
  source = voc.read_voc(tmp_path, 'valid')
  (image,) = source.images
  assert image.path == 'JPEGImages/a.png'
  assert image.size == (100, 80)
  assert source.names == {'one': 'one', 'two': 'two'}
  # Corner pixels 1 to 100 are the whole width.
  assert image.rows == [
    formats.Row('Annotations/a.xml: object 1', 'two', (0, 10, 100, 30))
  ]
  assert source.left_out == 1
  assert [problem.split(': ')[0] for problem in source.problems] == [
    'Annotations/a.xml',
    'Annotations/b.xml',
    'Annotations/c.xml',
  ]
  assert 'object 3' in source.problems[0]
  assert source.problems[2].endswith('missing')


def test_other_layouts_are_answered_with_the_expected_one(tmp_path):
  (tmp_path / 'Annotations').mkdir()
  for read, line, tree in (
    (yolo.read_yolo, 'has no data.yaml', 'DIR/train/labels/NAME.txt'),
    (voc.read_voc, r'there is no .*train\.txt', 'DIR/JPEGImages'),
  ):
    with pytest.raises(layout.LayoutError, match=line) as caught:
      read(tmp_path, 'train')
    assert tree in str(caught.value)
  _write(tmp_path, data_dot_yaml='names: [a]', train__images__x_dot_txt='')
  with pytest.raises(layout.LayoutError, match='train/images has no image'):
    yolo.read_yolo(tmp_path, 'train')
  with pytest.raises(layout.LayoutError, match='has no folder test/images'):
    yolo.read_yolo(tmp_path, 'test')


def _voc_set(directory, objects, head='<?xml version="1.0"?>'):
  """What is read of a set of one image."""
  _write(
    directory,
    JPEGImages__a_dot_jpg='',
    ImageSets__Main__train_dot_txt='a',
    Annotations__a_dot_xml=f'{head}<annotation>{objects}</annotation>',
  )
  return voc.read_voc(directory, 'train')


def _thing(name):
  ends = ''.join(
    f'<{key}>{k}</{key}>'
    for k, key in enumerate(('xmin', 'ymin', 'xmax', 'ymax'))
  )
  return f'<object>{name}<bndbox>{ends}</bndbox></object>'


def test_voc_objects_without_a_name_are_of_no_class(tmp_path):
  names = ('<name> five </name>', '<name/>', '')
  source = _voc_set(tmp_path, ''.join(map(_thing, names)))
  assert source.names == {'five': 'five'}
  assert [row.label for row in source.images[0].rows] == ['five', '', '']


@pytest.mark.parametrize('encoding', ['foo', 'gb2312'])
def test_voc_encodings_that_no_parser_knows(tmp_path, encoding):
  head = f'<?xml version="1.0" encoding="{encoding}"?>'
  source = _voc_set(tmp_path, _thing('<name>five</name>'), head=head)
  assert not source.images
  (problem,) = source.problems
  assert problem.startswith('Annotations/a.xml: ')


def test_files_that_begin_with_a_mark_of_their_encoding(tmp_path):
  mark = '\ufeff'
  _yolo(tmp_path, lines=f'{mark}1 .5 .5 .2 .2', yaml=f'{mark}names: [one, two]')
  source = yolo.read_yolo(tmp_path, 'train')
  assert source.names == {0: 'one', 1: 'two'}
  assert not source.problems
  assert source.images[0].rows[0].label == 1

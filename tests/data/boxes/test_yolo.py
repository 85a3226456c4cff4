"""Folders and label files of YOLO sets in the shapes that are found outside."""

import os
import unicodedata

import numpy as np
import pytest

from palmjax.data.boxes import yolo
from palmjax.data.sets.builders import layout

_BOX = '0 .5 .5 .2 .4\n'


def _write(root, names, yaml='names: [five]\n'):
  """Empty files, but label files hold a box; and data.yaml."""
  root.mkdir(exist_ok=True)
  (root / 'data.yaml').write_text(yaml)
  for name in names:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(_BOX if name.lower().endswith('.txt') else '')
  return root


def _pairs(folder, labels, *names):
  return [
    *(f'{folder}/{name}.jpg' for name in names),
    *(f'{labels}/{name}.txt' for name in names),
  ]


def _paths(root, split='train'):
  return [image.path for image in yolo.read_yolo(root, split).images]


@pytest.mark.parametrize('count', [8, 12])
def test_key_points_are_no_polygon(tmp_path, count):
  points = ' '.join(['.45 .45 2', '.55 .45 1', '.55 .55 0', '.45 .55 2'])
  if count == 8:
    points = points.replace(' 2', '').replace(' 1', '').replace(' 0', '')
  yaml = f'names: [five]\nkpt_shape: [4, {count // 4}]\n'
  root = _write(tmp_path, _pairs('train/images', 'train/labels', 'a'), yaml)
  lines = f'0 .5 .5 .2 .2 {points}\n{_BOX}0 .1 .1 .2 .1 .2 .2\n'
  (root / 'train/labels/a.txt').write_text(lines)
  source = yolo.read_yolo(root, 'train')
  first, second = source.images[0].rows
  np.testing.assert_allclose(first.box, [0.4, 0.4, 0.6, 0.6])
  np.testing.assert_allclose(second.box, [0.4, 0.3, 0.6, 0.7])
  (problem,) = source.problems
  assert problem == (
    "train/labels/a.txt:3: '0 .1 .1 .2 .1 .2 .2' is no box with 4 key points "
    f'of {count // 4} numbers'
  )
  assert source.notes == ()


def test_polygons_lie_in_the_image_and_are_told(tmp_path):
  root = _write(tmp_path, _pairs('train/images', 'train/labels', 'a'))
  (root / 'train/labels/a.txt').write_text(
    '0 .1 .2 .5 .3 .3 .9\n0 .5 .5 .2 .2 .4 .4 2 .6 .6 2\n0 0 0 1 0 1 1.005\n'
    '0 .1 .1 nan .2 .3 .3\n'
  )
  source = yolo.read_yolo(root, 'train')
  assert [row.where[-1] for row in source.images[0].rows] == ['1', '3']
  assert source.notes == ('2 polygons are read as the boxes around them',)
  assert [problem.split(':')[1] for problem in source.problems] == ['2', '4']
  assert 'need a kpt_shape' in source.problems[0]


def test_images_lie_at_any_depth_and_are_of_any_kind(tmp_path):
  names = _pairs('images/train', 'labels/train', 'a', 'five/b', 'one/left/c')
  names += ['images/train/five/d.WEBP', 'labels/train/five/d.TXT']
  source = yolo.read_yolo(_write(tmp_path, names), 'train')
  assert [image.path for image in source.images] == [
    *('images/train/a.jpg', 'images/train/five/b.jpg'),
    *('images/train/five/d.WEBP', 'images/train/one/left/c.jpg'),
  ]
  assert all(len(image.rows) == 1 for image in source.images)
  assert source.problems == []


def test_what_is_left_out_is_named(tmp_path):
  names = _pairs('train/images', 'train/labels', 'a')
  names += ['train/images/b.heic', 'train/labels/b.txt', 'train/labels/c.txt']
  names += ['train/labels/classes.txt', 'train/images/notes.md']
  names += ['train/images/a.png']
  source = yolo.read_yolo(_write(tmp_path, names), 'train')
  assert [image.path for image in source.images] == ['train/images/a.jpg']
  assert source.problems == [
    'train/images/b.heic: not read; give a JPEG, PNG, BMP or WebP image',
    'train/labels/a.txt: of two images, train/images/a.jpg and '
    'train/images/a.png; the second is left out',
    'train/labels/c.txt: there is no image of this name',
  ]


def test_labels_spelled_alike_are_those_of_the_image_so_named(tmp_path):
  names = ['train/images/A.jpg', *_pairs('train/images', 'train/labels', 'a')]
  source = yolo.read_yolo(_write(tmp_path, names), 'train')
  assert [len(image.rows) for image in source.images] == [0, 1]
  (problem,) = source.problems
  assert problem.startswith('train/labels/A.txt: missing')


def test_accents_behind_their_letters(tmp_path):
  name = 'Müller'
  root = _write(tmp_path, _pairs('train/images', 'train/labels', name))
  apart = unicodedata.normalize('NFD', name)
  os.rename(
    root / f'train/images/{name}.jpg', root / f'train/images/{apart}.jpg'
  )
  (image,) = yolo.read_yolo(root, 'train').images
  assert image.path == f'train/images/{apart}.jpg'
  assert len(image.rows) == 1


@pytest.mark.parametrize(
  'yaml, folder',
  [
    ('path: .\ntrain: images/train2017\n', 'images/train2017'),
    ('train: ./images/train2017/\n', 'images/train2017'),
    ('train: images\\train2017\n', 'images/train2017'),
    ('path: deep\ntrain: images/a\n', 'deep/images/a'),
    ('path: /nowhere\ntrain: images/a\n', 'images/a'),
    ('path: ../datasets/hands\ntrain: images/a\n', 'images/a'),
    ('train: ../other/images\n', '../other/images'),
    ('train: ../photos/images\n', 'photos/images'),  # As Roboflow has it.
    ('train: {0}/set/far/images\n', 'far/images'),
    ('train: [images/a]\n', 'images/a'),
  ],
)
def test_data_yaml_tells_where_images_are(tmp_path, yaml, folder):
  root = tmp_path / 'set'
  _write(root, (), f'{yaml.format(tmp_path)}names: [five]\n')
  labels = folder.replace('images', 'labels')
  # Not what lies in the usual place.
  usual = _pairs('train/images', 'train/labels', 'no')
  for name in (*_pairs(folder, labels, 'x'), *usual):
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(_BOX if name.endswith('.txt') else '')
  source = yolo.read_yolo(root, 'train')
  assert [image.path for image in source.images] == [f'{folder}/x.jpg']
  assert len(source.images[0].rows) == 1
  assert source.notes == (f'train images are read from {folder}',)


def test_names_in_data_yaml_and_on_disk(tmp_path):
  apart = unicodedata.normalize('NFD', 'Müller')
  yaml = 'train: Müller/images\nnames: [five]\n'
  names = _pairs(f'{apart}/images', f'{apart}/labels', 'a')
  root = _write(tmp_path, names, yaml)
  (root / 'data.yaml').rename(root / 'Data.YML')
  (image,) = yolo.read_yolo(root, 'train').images
  assert image.path == f'{apart}/images/a.jpg'
  assert len(image.rows) == 1


def test_several_folders_and_lists(tmp_path):
  yaml = 'train: [images/a, b.txt]\nval: b.txt\nnames: [five]\n'
  names = _pairs('images/a', 'labels/a', 'x', 'y')
  names += _pairs('images/b', 'labels/b', 'x', 'z')
  root = _write(tmp_path, names, yaml)
  (root / 'b.txt').write_text('./images/b/x.jpg\n\nimages/a/y.jpg\n')
  expected = ['images/a/x.jpg', 'images/a/y.jpg', 'images/b/x.jpg']
  source = yolo.read_yolo(root, 'train')
  assert [image.path for image in source.images] == expected
  assert '1 images of train are told twice' in source.notes
  source = yolo.read_yolo(root, 'valid')
  assert [image.path for image in source.images] == [
    *('images/b/x.jpg', 'images/a/y.jpg'),
  ]
  # Other images of these folders are of other parts.
  assert source.problems == []


def test_places_that_are_not_there(tmp_path):
  yaml = 'train: gone\nval: gone\nnames: [five]\n'
  root = _write(tmp_path, _pairs('val/images', 'val/labels', 'a'), yaml)
  source = yolo.read_yolo(root, 'valid')
  assert source.notes == (
    'val: gone of data.yaml is not there; val/images is read',
  )
  with pytest.raises(layout.LayoutError, match='gone of data'):
    yolo.read_yolo(root, 'train')


def test_labels_beside_images_that_lie_in_no_folder_images(tmp_path):
  yaml = 'train: photos\nnames: [five]\n'
  root = _write(tmp_path, _pairs('photos', 'photos', 'a'), yaml)
  (image,) = yolo.read_yolo(root, 'train').images
  assert len(image.rows) == 1
  # The last `images` of a path is the one.
  root = _write(
    tmp_path / 'b',
    _pairs('images/images/a', 'images/labels/a', 'x'),
    'train: images/images/a\nnames: [five]\n',
  )
  (image,) = yolo.read_yolo(root, 'train').images
  assert len(image.rows) == 1

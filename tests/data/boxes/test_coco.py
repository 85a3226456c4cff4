import json

import pytest

from palmjax.data.boxes import coco, formats
from palmjax.data.sets.builders import layout

_CONTENT = {
  'categories': [{'id': 7, 'name': 'two'}, {'id': 3, 'name': 'one'}],
  'images': [
    {'id': 5, 'file_name': 'gone.jpg', 'width': 100, 'height': 80},
    {'id': 1, 'file_name': 'a.jpg', 'width': 0, 'height': 0},
  ],
  'annotations': [
    {'id': 10, 'image_id': 1, 'category_id': 7, 'bbox': [1, 2, 30, 40.5]},
    {'id': 11, 'image_id': 1, 'category_id': 7, 'iscrowd': 1, 'bbox': []},
    {'id': 12, 'image_id': 9, 'category_id': 7, 'bbox': [1, 2, 3, 4]},
    {'id': 13, 'image_id': 5, 'category_id': 7, 'bbox': [1, 2, 3]},
    {'id': 14, 'image_id': 5, 'bbox': [1, 2, 3, 4]},
    {'id': 15, 'image_id': 5, 'category_id': [7], 'bbox': [1, 2, 3, 4]},
  ],
}


def _write(root, place, image, content):
  for path in (root / place, root / image):
    path.parent.mkdir(parents=True, exist_ok=True)
  (root / image).touch()
  (root / place).write_text(
    content if isinstance(content, str) else json.dumps(content)
  )


@pytest.mark.parametrize(
  'place, image, split',
  [
    ('annotations/instances_val2017.json', 'val2017/a.jpg', 'valid'),
    ('annotations/instances_train.json', 'images/train/a.jpg', 'train'),
    ('annotations/instances_train.json', 'images/a.jpg', 'train'),
    ('annotations/instances_test.json', 'a.jpg', 'test'),
    ('valid/_annotations.coco.json', 'valid/a.jpg', 'valid'),
  ],
)
def test_layouts(tmp_path, place, image, split):
  _write(tmp_path, place, image, _CONTENT)
  source = coco.read_coco(tmp_path, split)
  assert source.names == {3: 'one', 7: 'two'}
  assert list(source.names) == [3, 7]
  gone, here = source.images
  assert (here.path, here.size) == (image, None)
  assert gone.size == (100, 80)
  assert here.rows == [
    formats.Row(f'{place}: annotation 10', 7, (1, 2, 31, 42.5))
  ]
  assert gone.rows == []
  assert source.left_out == 1
  assert source.problems == [
    f'{place}: annotation 12: there is no image 9',
    *(
      f'{place}: annotation {number}: box, class or image is missing or none'
      for number in (13, 14, 15)
    ),
  ]


def test_roboflows_parent_category_is_no_class(tmp_path):
  content = dict(_CONTENT)
  content['categories'] = [
    {'id': 0, 'name': 'hands', 'supercategory': 'none'},
    {'id': 1, 'name': 'one', 'supercategory': 'hands'},
    {'id': 2, 'name': 'two', 'supercategory': 'hands'},
  ]
  _write(tmp_path, 'train/_annotations.coco.json', 'train/a.jpg', content)
  names = coco.read_coco(tmp_path, 'train').names
  assert names == {1: 'one', 2: 'two'}
  # COCO itself has a category that is its own parent.
  content['categories'] = [{'id': 1, 'name': 'a', 'supercategory': 'a'}]
  _write(tmp_path, 'train/_annotations.coco.json', 'train/a.jpg', content)
  assert coco.read_coco(tmp_path, 'train').names == {1: 'a'}


@pytest.mark.parametrize(
  'content', ['{', '[]', '{}', json.dumps({**_CONTENT, 'annotations': [3]})]
)
def test_no_coco_file(tmp_path, content):
  place = 'annotations/instances_train.json'
  _write(tmp_path, place, 'a.jpg', content)
  with pytest.raises(ValueError, match='is no COCO file') as caught:
    coco.read_coco(tmp_path, 'train')
  assert '\n' not in str(caught.value)


def test_other_layouts(tmp_path):
  with pytest.raises(layout.LayoutError, match='instances_val') as caught:
    coco.read_coco(tmp_path, 'valid')
  assert '_annotations.coco.json' in str(caught.value)
  _write(
    tmp_path, 'annotations/instances_val.json', 'elsewhere/a.jpg', _CONTENT
  )
  with pytest.raises(layout.LayoutError, match='has no image of instances_val'):
    coco.read_coco(tmp_path, 'valid')
  _write(tmp_path, 'annotations/instances_val2.json', 'a.jpg', _CONTENT)
  with pytest.raises(ValueError, match=r'instances_val2\.json are both of val'):
    coco.read_coco(tmp_path, 'valid')


def _set(root, images, categories=None, folder='train'):
  """A Roboflow set of (id, file name, id of its annotation's image)."""
  content = {
    'categories': categories or [{'id': 1, 'name': 'one'}],
    'images': [{'id': key, 'file_name': name} for key, name, _ in images],
    'annotations': [
      {'id': k, 'image_id': key, 'category_id': 1, 'bbox': [k, 2, 3, 4]}
      for k, (*_, key) in enumerate(images, 1)
    ],
  }
  (root / folder).mkdir(parents=True, exist_ok=True)
  (root / 'train' / '_annotations.coco.json').write_text(json.dumps(content))


def _read(root, *files):
  for name in files:
    path = root / 'train' / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
  source = coco.read_coco(root, 'train')
  return {image.path: len(image.rows) for image in source.images}, source


def test_images_of_one_id_are_left_out(tmp_path):
  _set(tmp_path, [(1, 'a.jpg', 1), (1, 'b.jpg', 1), (2, 'c.jpg', 2)])
  counts, source = _read(tmp_path, 'a.jpg', 'b.jpg', 'c.jpg')
  assert counts == {'train/c.jpg': 1}
  place = 'train/_annotations.coco.json'
  assert source.problems == [
    *(
      f'{place}: {name}: several images have the id 1; left out'
      for name in ('a.jpg', 'b.jpg')
    ),
    *(
      f'{place}: annotation {k}: of image 1, which is left out' for k in (1, 2)
    ),
  ]


def test_images_of_one_file_are_left_out(tmp_path):
  images = [(1, 'a.jpg', 1), (2, 'a.jpg', 2), (3, 'x/b.jpg', 3)]
  images += [(4, 'y/b.jpg', 4), (5, 'c.jpg', 5)]
  _set(tmp_path, images)
  counts, source = _read(tmp_path, 'a.jpg', 'b.jpg', 'c.jpg')
  assert counts == {'train/c.jpg': 1}
  assert sum('several images have the file' in x for x in source.problems) == 2
  assert sum('b.jpg is of several images' in x for x in source.problems) == 2


def test_a_file_belongs_to_the_image_that_names_it_as_it_is(tmp_path):
  images = [(1, 'A.jpg', 1), (2, 'a.jpg', 2), (3, '/mnt/b.jpg', 3)]
  _set(tmp_path, [*images, (4, 'b.jpg', 4)])
  _, source = _read(tmp_path, 'a.jpg', 'b.jpg')
  paths = [image.path for image in source.images]
  # The others are told as images that cannot be read.
  assert paths == [
    *('train/A.jpg', 'train/a.jpg', 'train/mnt/b.jpg', 'train/b.jpg'),
  ]
  assert source.problems == []


def test_an_image_told_twice_is_read_once(tmp_path):
  _set(tmp_path, [(1, 'a.jpg', 1), (1, 'a.jpg', 1), (2, 'b.jpg', 2)])
  counts, source = _read(tmp_path, 'a.jpg', 'b.jpg')
  assert counts == {'train/a.jpg': 2, 'train/b.jpg': 1}
  (problem,) = source.problems
  assert problem.endswith('image 1 (a.jpg) stands twice; read once')


@pytest.mark.parametrize(
  'ids, keys',
  [
    (['0001', '0002'], [1, 2]),
    ([1, 2], ['1', '0002']),
    ([1.0, 2.0], [1, 2]),
    (['a', 'b'], ['a', 'b']),
    (['1', '01'], ['1', '01']),
  ],
)
def test_ids_as_texts_and_numbers(tmp_path, ids, keys):
  names = ('a.jpg', 'b.jpg')
  _set(tmp_path, list(zip(ids, names, keys, strict=True)))
  counts, source = _read(tmp_path, *names)
  assert counts == {'train/a.jpg': 1, 'train/b.jpg': 1}
  assert source.problems == []


def test_ids_that_a_number_does_not_tell_apart(tmp_path):
  _set(tmp_path, [('1', 'a.jpg', 1), ('01', 'b.jpg', 1.5)])
  counts, source = _read(tmp_path, 'a.jpg', 'b.jpg')
  assert counts == {'train/a.jpg': 0, 'train/b.jpg': 0}
  assert [line.rpartition(': ')[2] for line in source.problems] == [
    *('there is no image 1', 'there is no image 1.5'),
  ]


def test_two_categories_of_one_id(tmp_path):
  categories = [{'id': 1, 'name': 'one'}, {'id': 1, 'name': 'two'}]
  _set(tmp_path, [(1, 'a.jpg', 1)], categories)
  with pytest.raises(ValueError, match='two categories have the id 1'):
    _read(tmp_path, 'a.jpg')


def test_parents_of_any_type(tmp_path):
  categories = [{'id': 1, 'name': 'one', 'supercategory': ['hand']}]
  _set(tmp_path, [(1, 'a.jpg', 1)], categories)
  assert _read(tmp_path, 'a.jpg')[0] == {'train/a.jpg': 1}


@pytest.mark.parametrize(
  'name, file',
  [
    ('train\\a.jpg', 'a.jpg'),
    ('C:\\photos\\a.jpg', 'a.jpg'),
    ('/label-studio/data/upload/1/a.jpg', 'a.jpg'),
    ('https://example.org/photos/a.jpg', 'a.jpg'),
    ('/data/local-files/?d=a%20b.jpg', 'a b.jpg'),
    ('a.jpg', 'five/left/a.jpg'),
    ('/mnt/five/a.jpg', 'five/left/a.jpg'),
    ('../train/a.jpg', 'a.jpg'),
    ('five\\a.jpg', 'five/a.jpg'),
    ('a.jpg', 'a.JPG'),
    ('Müller.jpg', 'Mu\u0308ller.jpg'),
    ('Mu\u0308ller/a.jpg', 'Müller/a.jpg'),
  ],
)
def test_images_are_found_by_what_their_names_say(tmp_path, name, file):
  _set(tmp_path, [(1, name, 1), (2, 'b.jpg', 2)])
  assert _read(tmp_path, file, 'b.jpg')[0] == {
    f'train/{file}': 1,
    'train/b.jpg': 1,
  }


def test_names_that_mean_two_files_are_found_in_none(tmp_path):
  _set(tmp_path, [(1, 'A.jpg', 1), (2, 'b.jpg', 2)])
  counts, _ = _read(tmp_path, 'a.jpg', 'a.JPG', 'b.jpg')
  assert counts == {'train/A.jpg': 1, 'train/b.jpg': 1}  # Is not there.


def test_both_names_are_told_where_none_is_found(tmp_path):
  _set(tmp_path, [(1, 'x/a_copy.jpg', 1)])
  line = r'looked for x/a_copy\.jpg, there is train/a\.jpg'
  with pytest.raises(layout.LayoutError, match=line):
    _read(tmp_path, 'a.jpg')
  _set(tmp_path, [])
  with pytest.raises(ValueError, match='lists no image'):
    _read(tmp_path)

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

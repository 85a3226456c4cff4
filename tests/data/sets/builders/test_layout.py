import pytest

from palmjax.data.sets.builders import layout

_LAYOUTS = [
  (r'cut/(?P<hand>left|right)', r'(?P<person>\d)_(?P<sample>\d)\.png'),
  (r'(?P<hand>left|right)', r'(?P<person>\d)_(?P<sample>\d)\.(?:png|bmp)'),
]


def _record(path, groups):
  return layout.Record(
    path=path,
    identity=f'{groups["person"]} {groups["hand"]}',
    person=groups['person'],
    hand=groups['hand'],
    sample=int(groups['sample']),
  )


def _collect(source):
  return layout.collect(
    source, layouts=_LAYOUTS, record=_record, tree='  DIR/the tree'
  )


def _paths(source):
  return [record.path for record in _collect(source)]


def test_first_layout_that_holds_images_is_taken(put):
  source = put('left/1_2.png', 'right/1_1.png', 'left/1_1.png')
  (source / 'cut' / 'left').mkdir(parents=True)
  assert _paths(source) == ['left/1_1.png', 'left/1_2.png', 'right/1_1.png']
  put('cut/left/2_1.png', 'cut/right/2_1.png')
  assert _paths(source) == ['cut/left/2_1.png', 'cut/right/2_1.png']


def test_what_lies_beside_is_left_alone(put):
  source = put(
    'left/1_1.png', 'right/1_1.png', 'sketch.png', 'other/left/1_1.png'
  )
  put('left/.hidden.png', '.cache/left/1_9.png')
  (source / 'left' / 'Thumbs.db').write_bytes(b'x')
  (source / 'left' / 'up').symlink_to(source)
  assert _paths(source) == ['left/1_1.png', 'right/1_1.png']


def test_a_linked_folder_is_read(put, tmp_path):
  put('elsewhere/1_1.png')
  put('set/right/1_1.png')
  (tmp_path / 'set' / 'left').symlink_to(tmp_path / 'elsewhere')
  assert _paths(tmp_path / 'set') == ['left/1_1.png', 'right/1_1.png']


def test_wrong_name_in_a_right_folder(put):
  source = put('left/1_1.png', 'right/1_1.png', 'right/1_1 copy.png')
  with pytest.raises(
    layout.LayoutError, match=r'right/1_1 copy\.png is not named as'
  ) as caught:
    _collect(source)
  assert str(caught.value).endswith('; expected:\n  DIR/the tree')


def test_no_image_in_a_right_folder_names_the_wrong_ones(put):
  source = put('a/1_1.png', 'b/1_1.png', '1_1.png')
  with pytest.raises(
    layout.LayoutError, match=r'\(folders with images: \., a, b\); expected:'
  ):
    _collect(source)


def test_two_files_for_one_sample(put):
  source = put('left/1_1.png', 'right/1_1.png', 'left/1_1.bmp')
  with pytest.raises(
    ValueError, match=r'left/1_1\.bmp and left/1_1\.png are the same sample'
  ):
    _collect(source)


def test_one_palm_is_no_set(put):
  source = put('left/1_1.png', 'left/1_2.png')
  with pytest.raises(ValueError, match='has 1 palms'):
    _collect(source)


def test_missing_folder_and_file(put):
  source = put('a.png')
  with pytest.raises(FileNotFoundError, match='there is no folder'):
    _collect(source / 'none')
  with pytest.raises(NotADirectoryError, match='is a file; unpack it'):
    _collect(source / 'a.png')

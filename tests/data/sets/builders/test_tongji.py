import pytest

from palmjax.data.sets.builders import layout, tongji


def _files(numbers, below='', suffix='bmp'):
  return [
    f'{below}session{session}/{number:05}.{suffix}'
    for session in (1, 2)
    for number in numbers
  ]


@pytest.mark.parametrize(
  'below, suffix', [('', 'bmp'), ('ROI/', 'bmp'), ('', 'tiff')]
)
def test_ten_images_are_a_palm_and_two_palms_a_person(put, below, suffix):
  source = put(*_files([1, 10, 11, 21, 6000], below, suffix))
  records = tongji.Tongji.find(source)
  assert [
    (r.path, r.identity, r.person, r.session, r.sample)
    for r in records
    if r.session == 1
  ] == [
    (f'{below}session1/00001.{suffix}', 'palm 001', '001', 1, 1),
    (f'{below}session1/00010.{suffix}', 'palm 001', '001', 1, 10),
    (f'{below}session1/00011.{suffix}', 'palm 002', '001', 1, 1),
    (f'{below}session1/00021.{suffix}', 'palm 003', '002', 1, 1),
    (f'{below}session1/06000.{suffix}', 'palm 600', '300', 1, 10),
  ]
  second = [r.identity for r in records if r.session == 2]
  assert second == [r.identity for r in records if r.session == 1]
  assert {r.hand for r in records} == {'unknown'}


@pytest.mark.parametrize('name', ['06001', '00000', '1', '0001_1'])
def test_other_names(put, name):
  source = put(*_files([1, 11]), f'session1/{name}.bmp')
  with pytest.raises(layout.LayoutError, match=name):
    tongji.Tongji.find(source)

import pytest

from palmjax.data.sets.builders import hands11k, layout

_HEAD = (
  'id,age,gender,skinColor,accessories,nailPolish,aspectOfHand,imageName,'
  'irregularities'
)
_ROWS = (
  '"0000000",27,"male","fair",0,0,"dorsal right","Hand_0000002.jpg",0',
  '"0000000",27,"male","fair",0,0,"palmar right","Hand_0000009.jpg",0',
  '"0000000",27,"male","fair",0,0,"palmar right","Hand_0000010.jpg",0',
  '"0000000",27,"male","fair",1,0,"palmar left","Hand_0000037.jpg",0',
  '"0000001",30,"female","fair",1,1,"palmar left","Hand_0000099.jpg",1',
)


def _set(put, head=_HEAD, rows=_ROWS):
  source = put('Hands/Hand_0000009.jpg')
  (source / 'HandInfo.csv').write_text('\n'.join((head, *rows)) + '\n')
  return source


def test_palm_sides_with_person_hand_and_remarks(put):
  assert [
    (r.path, r.identity, r.person, r.hand, r.sample, r.remarks)
    for r in hands11k.Hands11k.find(_set(put))
  ] == [
    ('Hands/Hand_0000037.jpg', '0000000 left', '0000000', 'left', 1,
     'accessories'),
    ('Hands/Hand_0000009.jpg', '0000000 right', '0000000', 'right', 1, ''),
    ('Hands/Hand_0000010.jpg', '0000000 right', '0000000', 'right', 2, ''),
    ('Hands/Hand_0000099.jpg', '0000001 left', '0000001', 'left', 1,
     'accessories, nail polish, irregularities'),
  ]  # fmt: skip


def test_table_of_another_kind(put):
  with pytest.raises(layout.LayoutError, match='has no aspectOfHand'):
    hands11k.Hands11k.find(_set(put, _HEAD.replace('aspectOfHand', 'side')))
  rows = (*_ROWS, '"0000001",30,"female","fair",0,0,"palm left","a.jpg",0')
  with pytest.raises(layout.LayoutError, match="aspectOfHand 'palm left'"):
    hands11k.Hands11k.find(_set(put, rows=rows))


def test_images_without_table_and_table_without_images(put):
  source = put('Hands/Hand_0000009.jpg')
  with pytest.raises(layout.LayoutError, match=r'has no HandInfo\.csv'):
    hands11k.Hands11k.find(source)
  (source / 'HandInfo.csv').write_text(_HEAD)
  (source / 'Hands').rename(source / 'hands of others')
  with pytest.raises(layout.LayoutError, match='has no folder Hands'):
    hands11k.Hands11k.find(source)


def test_an_image_told_twice_is_refused(put):
  other = '"0000001",30,"female","fair",0,0,"palmar right","Hand_0000009.jpg",0'
  for row in (other, _ROWS[1]):
    with pytest.raises(ValueError, match=r'Hand_0000009\.jpg is told twice'):
      hands11k.Hands11k.find(_set(put, rows=(*_ROWS, row)))


def test_tables_that_cannot_be_read_are_named(put):
  source = _set(put)
  table = source / 'HandInfo.csv'
  table.write_bytes(table.read_bytes() + b'"1",3,"m\xe9le"\n')
  with pytest.raises(layout.LayoutError, match=r'HandInfo\.csv cannot be read'):
    hands11k.Hands11k.find(source)
  table.write_text(f'{_HEAD}\n"{"x" * 200_000}"\n')
  with pytest.raises(layout.LayoutError, match=r'HandInfo\.csv cannot be read'):
    hands11k.Hands11k.find(source)
  table.write_text('\n'.join((f'{_HEAD},id', *_ROWS)))
  with pytest.raises(layout.LayoutError, match=r'HandInfo\.csv has id twice'):
    hands11k.Hands11k.find(source)

from palmjax.data.sets.builders import iitd


def _told(records):
  return [(r.path, r.identity, r.person, r.hand, r.sample) for r in records]


def test_segmented_palms_come_before_whole_hands(put):
  source = put(
    'Left Hand/001_1.JPG', 'Right Hand/001_1.JPG', 'Left Hand/002_1.JPG'
  )
  assert _told(iitd.Iitd.find(source)) == [
    ('Left Hand/001_1.JPG', '001 left', '001', 'left', 1),
    ('Right Hand/001_1.JPG', '001 right', '001', 'right', 1),
    ('Left Hand/002_1.JPG', '002 left', '002', 'left', 1),
  ]
  put('Segmented/Left/001_2.bmp', 'Segmented/Right/230_6.bmp')
  segmented = [
    ('Left/001_2.bmp', '001 left', '001', 'left', 2),
    ('Right/230_6.bmp', '230 right', '230', 'right', 6),
  ]
  assert _told(iitd.Iitd.find(source / 'Segmented')) == segmented
  assert _told(iitd.Iitd.find(source)) == [
    (f'Segmented/{path}', *rest) for path, *rest in segmented
  ]

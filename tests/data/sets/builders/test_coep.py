from palmjax.data.sets.builders import coep


def _told(source):
  return [(r.path, r.identity, r.sample) for r in coep.Coep.find(source)]


def test_a_folder_for_each_person(put):
  source = put('10/x.jpg', '2/b.JPG', '2/a.jpg')
  assert _told(source) == [
    ('2/a.jpg', '0002', 1),
    ('2/b.JPG', '0002', 2),
    ('10/x.jpg', '0010', 1),
  ]


def test_all_in_one_folder(put):
  source = put('10_1.jpg', '2_8.jpg', '2_1.jpg')
  assert _told(source) == [
    ('2_1.jpg', '0002', 1),
    ('2_8.jpg', '0002', 8),
    ('10_1.jpg', '0010', 1),
  ]


def test_person_and_palm_are_one(put):
  records = coep.Coep.find(put('1/a.jpg', '2/a.jpg'))
  assert [r.person for r in records] == [r.identity for r in records]

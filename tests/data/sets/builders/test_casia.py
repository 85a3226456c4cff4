import pytest

from palmjax.data.sets.builders import casia, layout


@pytest.mark.parametrize('folders', [True, False])
def test_names_tell_person_hand_and_sample(put, folders):
  names = ['0001_m_l_01', '0001_m_r_01', '0306_f_l_12']
  paths = [f'{name[:4]}/{name}' if folders else name for name in names]
  source = put(*(f'{path}.jpg' for path in paths))
  assert [
    (r.path, r.identity, r.person, r.hand, r.sample, r.session)
    for r in casia.Casia.find(source)
  ] == [
    (f'{paths[0]}.jpg', '0001 left', '0001', 'left', 1, -1),
    (f'{paths[1]}.jpg', '0001 right', '0001', 'right', 1, -1),
    (f'{paths[2]}.jpg', '0306 left', '0306', 'left', 12, -1),
  ]


def test_image_in_the_folder_of_another_person(put):
  source = put('0001/0001_m_l_01.jpg', '0002/0001_m_l_02.jpg')
  with pytest.raises(layout.LayoutError, match=r'0002/0001_m_l_02\.jpg is not'):
    casia.Casia.find(source)

import pytest

from palmjax.data.sets.builders import mpd


@pytest.mark.parametrize(
  'below', ['', 'original palms/', 'original palms/a/b/']
)
def test_names_tell_everything(put, below):
  source = put(
    f'{below}001_1_h_l_01.jpg',
    f'{below}001_2_m_l_01.jpg',
    f'{below}200_1_m_r_10.jpg',
  )
  assert [
    (r.path, r.identity, r.person, r.hand, r.session, r.device, r.sample)
    for r in mpd.Mpd.find(source)
  ] == [
    (f'{below}001_1_h_l_01.jpg', '001 left', '001', 'left', 1, 'huawei', 1),
    (f'{below}001_2_m_l_01.jpg', '001 left', '001', 'left', 2, 'xiaomi', 1),
    (f'{below}200_1_m_r_10.jpg', '200 right', '200', 'right', 1, 'xiaomi', 10),
  ]


def test_generated_crops_are_left_alone(put):
  source = put(
    'original palms/001_1_h_l_01.jpg',
    'original palms/001_1_h_r_01.jpg',
    'generation/3-ROI_verification/001_1_h_l_01.jpg',
  )
  assert len(mpd.Mpd.find(source)) == 2

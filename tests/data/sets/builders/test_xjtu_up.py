from palmjax.data.sets.builders import xjtu_up


def test_folders_tell_device_hand_and_person(put):
  source = put(
    'huawei/Flash/L_001/IMG_0007.JPG',
    'huawei/Flash/L_001/IMG_0003.JPG',
    'huawei/Nature/L_001/IMG_0003.JPG',
    'huawei/Nature/R_001/IMG_0001.JPG',
    'iPhone/Flash/L_100/IMG_0001.JPG',
  )
  assert [
    (r.path, r.identity, r.person, r.hand, r.device, r.sample, r.session)
    for r in xjtu_up.XjtuUp.find(source)
  ] == [
    ('huawei/Flash/L_001/IMG_0003.JPG', '001 left', '001', 'left',
     'huawei flash', 1, -1),
    ('huawei/Flash/L_001/IMG_0007.JPG', '001 left', '001', 'left',
     'huawei flash', 2, -1),
    ('huawei/Nature/L_001/IMG_0003.JPG', '001 left', '001', 'left',
     'huawei nature', 1, -1),
    ('huawei/Nature/R_001/IMG_0001.JPG', '001 right', '001', 'right',
     'huawei nature', 1, -1),
    ('iPhone/Flash/L_100/IMG_0001.JPG', '100 left', '100', 'left',
     'iphone flash', 1, -1),
  ]  # fmt: skip

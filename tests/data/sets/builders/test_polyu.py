from palmjax.data.sets.builders import polyu


def test_names_tell_palm_session_and_sample(put):
  source = put(
    'PolyU_001_F_01.bmp',
    'PolyU_001_S_01.bmp',
    'PolyU_002_F_10.bmp',
    'PolyU_386_S_17.bmp',
  )
  assert [
    (r.path, r.identity, r.person, r.session, r.sample, r.hand)
    for r in polyu.Polyu.find(source)
  ] == [
    ('PolyU_001_F_01.bmp', 'palm 001', '001', 1, 1, 'unknown'),
    ('PolyU_001_S_01.bmp', 'palm 001', '001', 2, 1, 'unknown'),
    ('PolyU_002_F_10.bmp', 'palm 002', '001', 1, 10, 'unknown'),
    ('PolyU_386_S_17.bmp', 'palm 386', '193', 2, 17, 'unknown'),
  ]

"""What holds for every real set."""

import pytest

from palmjax.data.sets import splits
from palmjax.data.sets.builders import layout, real_sets

_HANDS = 'id,accessories,nailPolish,aspectOfHand,imageName,irregularities\n'


def _people(name, people):
  """Paths of a miniature of each set, with both palms where it has both."""
  return {
    'casia': [
      f'{p:04}/{p:04}_m_{hand}_01.jpg' for p in people for hand in 'lr'
    ],
    'coep': [f'{p}/{n}.jpg' for p in people for n in (1, 2)],
    'hands11k': [f'Hands/{p}_{hand}.jpg' for p in people for hand in 'lr'],
    'iitd': [
      f'Segmented/{hand}/{p:03}_1.bmp'
      for p in people
      for hand in ('Left', 'Right')
    ],
    'mpd': [
      f'original palms/{p:03}_{session}_h_{hand}_01.jpg'
      for p in people
      for hand in 'lr'
      for session in (1, 2)
    ],
    'polyu': [
      f'PolyU_{2 * p - side:03}_{session}_01.bmp'
      for p in people
      for side in (0, 1)
      for session in 'FS'
    ],
    'tongji': [
      f'session{session}/{20 * p - 10 * side:05}.bmp'
      for p in people
      for side in (0, 1)
      for session in (1, 2)
    ],
    'xjtu_up': [
      f'huawei/Flash/{hand}_{p:03}/IMG_1.JPG' for p in people for hand in 'LR'
    ],
  }[name]


def _find(name, put, people=range(1, 9)):
  source = put(*_people(name, people))
  if name == 'hands11k':
    rows = [
      f'{p},0,0,palmar {hand},{p}_{hand[0]}.jpg,0'
      for p in people
      for hand in ('left', 'right')
    ]
    (source / 'HandInfo.csv').write_text(_HANDS + '\n'.join(rows))
  return real_sets.BUILDERS[name].find(source)


@pytest.mark.parametrize('name', real_sets.BUILDERS)
def test_every_image_is_found_once_in_a_fixed_order(name, put):
  records = _find(name, put)
  paths = [record.path for record in records]
  assert sorted(paths) == sorted(_people(name, range(1, 9)))
  identities = [record.identity for record in records]
  assert identities == sorted(identities)
  assert all(record.hand in layout.HANDS for record in records)


@pytest.mark.parametrize('name', real_sets.BUILDERS)
@pytest.mark.parametrize('share, sides', [(0.5, (4, 4)), (0.75, (2, 6))])
def test_palms_of_one_person_stay_on_one_side(name, share, sides, put):
  records = _find(name, put)
  identities = sorted({record.identity for record in records})
  people = {record.person for record in records}
  assert len(people) == 8
  assert len(identities) == (8 if name == 'coep' else 16)
  split = splits.by_identity(
    [identities.index(record.identity) for record in records],
    seed=0,
    evaluation=share,
    groups=[record.person for record in records],
  )
  train, test = (
    {records[i].person for i in part}
    for part in (split.train, split.evaluation)
  )
  assert (len(train), len(test)) == sides
  assert train | test == people


@pytest.mark.parametrize('name', real_sets.BUILDERS)
def test_wrong_layout_shows_the_expected_tree(name, put):
  source = put('holiday/beach.jpg', 'session9/00001.bmp', 'scan.png')
  with pytest.raises(layout.LayoutError) as caught:
    real_sets.BUILDERS[name].find(source)
  first, *tree = str(caught.value).split('\n')
  assert str(source) in first
  assert first.endswith('; expected:')
  assert len(tree) >= 2
  assert tree[0].startswith('  DIR/')

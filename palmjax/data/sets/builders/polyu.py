"""PolyU palm prints, version 2: 193 people, 386 palms, two sessions.

Zhang, Kong, You, Wong: Online palmprint identification, PAMI 25 (2003). 7,752
images; F is the first session, S the second. The names were confirmed in public
code that reads the set. Whose palms they are is not: that palms 1 and 2, 3 and
4, … are the two of one person is inferred from 193 people and 386 palms. The
hand is 'unknown'. The palms lie with the fingers to the left in the copies that
are handed around, so they are turned by 90°; we could not confirm this of the
owners' own copy.
"""

import tensorflow_datasets as tfds

from palmjax.data.sets.builders import layout, real_palms


class Polyu(real_palms.RealPalms):
  """PolyU palm prints, version 2."""

  VERSION = tfds.core.Version('1.1.0')
  DESCRIPTION = 'Contact palm prints: 386 palms, two sessions.'
  HOMEPAGE = 'https://www4.comp.polyu.edu.hk/~biometrics/'
  TREE = """\
  DIR/PolyU_001_F_01.bmp …
  DIR/PolyU_001_S_01.bmp …
(palm 001 to 386, F or S for the first or second session, sample)"""
  LAYOUTS = (
    ('', r'PolyU_(?P<palm>\d{3})_(?P<session>[FS])_(?P<sample>\d{2})\.bmp'),
  )

  @classmethod
  def turn(cls, records):
    """The fingers point to the left."""
    return 90

  @staticmethod
  def record(path, groups):
    palm = int(groups['palm'])
    return layout.Record(
      path=path,
      identity=f'palm {palm:03}',
      person=f'{(palm + 1) // 2:03}',
      hand='unknown',
      sample=int(groups['sample']),
      session={'F': 1, 'S': 2}[groups['session'].upper()],
    )

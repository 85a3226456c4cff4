"""CASIA palm prints, version 1: 312 people, left and right, one session.

Sun, Tan, Wang, Li: Ordinal palmprint representation for personal
identification, CVPR 2005. The owners' page gives the layout:
XXXX/XXXX_(m/f)_(l/r)_XX.jpg, the person twice, sex, hand and sample. All in one
folder is read too.
"""

import tensorflow_datasets as tfds

from palmjax.data.builders import layout, real_palms

TREE = """\
  DIR/0001/0001_m_l_01.jpg …
  DIR/0001/0001_m_r_01.jpg …
or all of them in DIR (person_sex_hand_sample)"""

_NAME = r'_[mf]_(?P<hand>[lr])_(?P<sample>\d{2})\.jpg'


class Casia(real_palms.RealPalms):
  """CASIA palm prints."""

  VERSION = tfds.core.Version('1.0.0')
  DESCRIPTION = 'Contactless palm prints: 312 people, left and right.'
  HOMEPAGE = 'http://biometrics.idealtest.org/'

  @staticmethod
  def find(source):
    """Lists the records of a folder; raises as `layout.collect`."""
    return layout.collect(
      source,
      layouts=[
        (r'(?P<person>\d{4})', rf'(?P=person){_NAME}'),
        ('', rf'(?P<person>\d{{4}}){_NAME}'),
      ],
      record=_record,
      tree=TREE,
    )


def _record(path, groups):
  hand = {'l': 'left', 'r': 'right'}[groups['hand'].lower()]
  return layout.Record(
    path=path,
    identity=f'{groups["person"]} {hand}',
    person=groups['person'],
    hand=hand,
    sample=int(groups['sample']),
  )

"""CASIA palm prints, version 1: 312 people, left and right, one session.

Sun, Tan, Wang, Li: Ordinal palmprint representation for personal
identification, CVPR 2005. The owners' page gives the layout:
XXXX/XXXX_(m/f)_(l/r)_XX.jpg, the person twice, sex, hand and sample. All in one
folder is read too. We could not confirm how the hands lie: they are not turned.
"""

import tensorflow_datasets as tfds

from palmjax.data.sets.builders import real_palms

_NAME = r'_[mf]_(?P<hand>[lr])_(?P<sample>\d{2})\.jpg'


class Casia(real_palms.RealPalms):
  """CASIA palm prints."""

  VERSION = tfds.core.Version('1.0.0')
  DESCRIPTION = 'Contactless palm prints: 312 people, left and right.'
  HOMEPAGE = 'http://biometrics.idealtest.org/'
  TREE = """\
  DIR/0001/0001_m_l_01.jpg …
  DIR/0001/0001_m_r_01.jpg …
or all of them in DIR (person_sex_hand_sample)"""
  LAYOUTS = (
    (r'(?P<person>\d{4})', rf'(?P=person){_NAME}'),
    ('', rf'(?P<person>\d{{4}}){_NAME}'),
  )

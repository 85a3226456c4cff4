"""IIT Delhi touchless palm prints, version 1: 230 people, one session.

Kumar: Incorporating cohort information for reliable palmprint authentication,
ICVGIP 2008. Whole hands in 'Left Hand' and 'Right Hand', the palms cut out of
them in Segmented/Left and Segmented/Right; the latter are read where both are
there. Folders and names were confirmed in public code that reads the set. The
cut-out palms lie with the fingers to the left in the copies that are handed
around, so they are turned by 90°. We could not confirm this of the owners' own
copy, nor how the whole hands lie: these are not turned.
"""

import tensorflow_datasets as tfds

from palmjax.data.sets.builders import real_palms

_FILE = r'(?P<person>\d{3})_(?P<sample>\d{1,2})\.(?:bmp|jpg)'


class Iitd(real_palms.RealPalms):
  """IIT Delhi touchless palm prints."""

  VERSION = tfds.core.Version('1.1.0')
  DESCRIPTION = 'Touchless palm prints: 230 people, left and right.'
  HOMEPAGE = 'https://www4.comp.polyu.edu.hk/~csajaykr/IITD/Database_Palm.htm'
  TREE = """\
  DIR/Segmented/Left/001_1.bmp …
  DIR/Segmented/Right/001_1.bmp …
or, whole hands,
  DIR/Left Hand/001_1.JPG …
  DIR/Right Hand/001_1.JPG …
(person_sample; DIR is the folder 'IITD Palmprint V1', or Segmented itself)"""
  LAYOUTS = (
    (r'(?:Segmented/)?(?P<hand>left|right)', _FILE),
    (r'(?P<hand>left|right)\s+hand', _FILE),
  )

  @classmethod
  def turn(cls, records):
    """90 for cut-out palms, 0 for whole hands."""
    whole = (record.path.lower().split('/')[0] for record in records)
    return 0 if any(name.endswith('hand') for name in whole) else 90

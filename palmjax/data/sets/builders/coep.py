"""COEP palm prints: 168 people, eight images of one palm each, one session.

College of Engineering, Pune. We could not confirm how the owners name folders
and files: read are a numbered folder for each person, with files of any name,
and PERSON_SAMPLE files in one folder. The hand is 'unknown'. We could not
confirm how the palms lie: they are not turned.
"""

import tensorflow_datasets as tfds

from palmjax.data.sets.builders import layout, real_palms

_SUFFIX = r'\.(?:bmp|jpe?g|png|webp)'


class Coep(real_palms.RealPalms):
  """COEP palm prints."""

  VERSION = tfds.core.Version('1.0.0')
  DESCRIPTION = 'Palm prints of the College of Engineering, Pune: 168 people.'
  HOMEPAGE = 'https://www.coep.org.in/resources/coeppalmprintdatabase'
  TREE = """\
  DIR/1/<any name>.jpg …
  DIR/2/<any name>.jpg …
(one numbered folder for each person), or, all of them in DIR,
  DIR/1_1.jpg … (person_sample)"""
  LAYOUTS = (
    (r'(?P<person>\d{1,4})', rf'[^/]+{_SUFFIX}'),
    ('', rf'(?P<person>\d{{1,4}})_(?P<sample>\d{{1,2}}){_SUFFIX}'),
  )

  @staticmethod
  def record(path, groups):
    person = f'{int(groups["person"]):04}'
    return layout.Record(
      path=path,
      identity=person,
      person=person,
      hand='unknown',
      sample=int(groups.get('sample', groups['rank'] + 1)),
    )

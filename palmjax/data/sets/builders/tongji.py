"""Tongji contactless palm prints: 300 people, 600 palms, two sessions.

Zhang, Li, Yang, Shen, Yang: Towards contactless palmprint recognition, Pattern
Recognition 69 (2017). 12,000 images: in each session ten of each palm, numbered
through, 00001 to 00010 being the first palm. The owners say neither which palms
are left nor, in so many words, whose they are: that palms 1 and 2, 3 and 4, …
are the two of one person is inferred from 300 people and 600 palms, and we
could not confirm it. The hand is therefore 'unknown'. We could not confirm how
the images of either archive lie: they are not turned.
"""

import tensorflow_datasets as tfds

from palmjax.data.sets.builders import layout, real_palms

_IMAGES_OF_A_PALM = 10


class Tongji(real_palms.RealPalms):
  """Tongji contactless palm prints."""

  VERSION = tfds.core.Version('1.0.0')
  DESCRIPTION = 'Contactless palm prints: 600 palms, two sessions.'
  HOMEPAGE = 'https://cslinzhang.github.io/ContactlessPalm/'
  TREE = """\
  DIR/session1/00001.bmp … 06000.bmp
  DIR/session2/00001.bmp … 06000.bmp
DIR is what ROI.rar or OriginalImages.rar unpacks to; DIR/ROI/ is found too"""
  LAYOUTS = (
    (
      r'(?:ROI/)?session(?P<session>[12])',
      r'(?!00000)(?P<number>0[0-5]\d{3}|06000)\.(?:bmp|tiff?)',
    ),
  )

  @staticmethod
  def record(path, groups):
    palm, sample = divmod(int(groups['number']) - 1, _IMAGES_OF_A_PALM)
    return layout.Record(
      path=path,
      identity=f'palm {palm + 1:03}',
      person=f'{palm // 2 + 1:03}',
      hand='unknown',
      sample=sample + 1,
      session=int(groups['session']),
    )

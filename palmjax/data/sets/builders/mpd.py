"""Tongji mobile palm prints (MPD): 200 people, two phones, two sessions.

Zhang, Zhang, Zhang, Li, Li, Huang: Towards palmprint verification on
smartphones, arXiv:2003.13266. 16,000 photographs: ten of each palm with each
phone in each session. The names were confirmed in public code that reads the
set; whether 'original palms' has folders below it was not, so up to two levels
of them are looked into. We could not confirm how the hands lie: they are not
turned.
"""

import tensorflow_datasets as tfds

from palmjax.data.sets.builders import layout, real_palms

_FILE = (
  r'(?P<person>\d{3})_(?P<session>[12])_(?P<phone>[hm])_(?P<hand>[lr])_'
  r'(?P<sample>\d{2})\.(?:bmp|jpe?g|png|webp)'
)


class Mpd(real_palms.RealPalms):
  """Tongji mobile palm prints."""

  VERSION = tfds.core.Version('1.0.0')
  DESCRIPTION = 'Photographs by two phones: 400 palms, two sessions.'
  HOMEPAGE = 'https://cslinzhang.github.io/deepmpv'
  TREE = """\
  DIR/original palms/001_1_h_l_01.jpg …
or all of them in DIR (person_session_phone_hand_sample: session 1 or 2, phone h
for Huawei or m for Xiaomi, hand l or r)"""
  LAYOUTS = (
    (r'original palms(?:/[^/]+){0,2}', _FILE),
    ('', _FILE),
  )

  @staticmethod
  def record(path, groups):
    return layout.of_hand(
      path,
      groups,
      session=int(groups['session']),
      device={'h': 'huawei', 'm': 'xiaomi'}[groups['phone'].lower()],
    )

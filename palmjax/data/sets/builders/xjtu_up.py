"""XJTU-UP, unconstrained palm prints: 100 people, five phones, two lights.

Shao, Zhong, Du: Effective deep ensemble hashing for open-set palmprint
recognition, Journal of Electronic Imaging 29 (2020). About ten images of each
palm for each phone, with its flash and in room light; a phone with a light is
what papers call a sub-database, and is the device here. The folders were
confirmed in public code that reads two of the phones; we could not confirm how
the others are spelt, nor any trace of sessions in the names. We could not
confirm how the hands lie: they are not turned.
"""

import tensorflow_datasets as tfds

from palmjax.data.sets.builders import layout, real_palms


class XjtuUp(real_palms.RealPalms):
  """XJTU-UP, unconstrained palm prints."""

  VERSION = tfds.core.Version('1.0.0')
  DESCRIPTION = 'Photographs by five phones in two lights: 200 palms.'
  HOMEPAGE = 'https://gr.xjtu.edu.cn/en/web/bell'
  TREE = """\
  DIR/huawei/Flash/L_001/<any name>.JPG …
  DIR/huawei/Nature/R_001/<any name>.JPG …
  DIR/iPhone/…
(phone, light, hand and person)"""
  LAYOUTS = (
    (
      r'(?P<phone>[^/]+)/(?P<light>flash|nature)/'
      r'(?P<hand>[lr])_(?P<person>\d{3})',
      r'[^/]+\.(?:bmp|jpe?g|png|webp)',
    ),
  )

  @staticmethod
  def record(path, groups):
    return layout.of_hand(
      path,
      groups,
      sample=groups['rank'] + 1,
      device=f'{groups["phone"]} {groups["light"]}'.lower(),
    )

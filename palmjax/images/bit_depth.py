"""Images of more than 8 bits a channel, scaled to 8.

A program that stores 12 bits of a sensor in the 16 of a PNG leaves the upper
four empty, and 16 bits scaled to 8 would be near black. The depth of an image
is therefore the smallest of `DEPTHS` that holds its brightest pixel. It is 16
for a dark image whose values were 8 bits: multiples of 256 or of 257. A line in
the log tells of less than 16, for the first images of a process.
"""

import io

import numpy as np
from absl import logging
from PIL import Image

from palmjax import file_names

# Bits of a channel that sensors have.
DEPTHS = (8, 10, 12, 14, 16)
STRIP = 2**20  # Pixels that are converted at a time.
# A set may hold thousands of such images, and reads each more than once.
_TOLD = 20


def load(image):
  """Decodes an image that was opened, with 8 bits a channel.

  Args:
    image: Pillow image, not decoded yet.

  Returns:
    The image itself, or for deeper ones an image 'L', 'RGB' or 'RGBA'.
  """
  # Of colours of 16 bits Pillow keeps the upper 8: the file is decoded again
  # where the lower ones are needed.
  raw = str(image.tile[0].args) if image.tile else ''
  deep = raw in ('RGB;16B', 'RGBA;16B', 'LA;16B')
  content = _content(image.fp) if deep else None
  name = file_names.printable(getattr(image, 'filename', '')) or 'an image'
  image.load()
  if not deep:
    return scaled(image, name)
  brightest = max(image.getchannel(band).getextrema()[1] for band in 'RGB')
  if _smallest(256 * brightest + 255) == DEPTHS[-1]:
    return image
  if raw == 'LA;16B':
    # Pillow reads no lower halves here.
    raise ValueError('grey of 16 bits with opacity: save it without opacity')
  return _colour(image, content, name)


def scaled(image, name='an image'):
  """An image in memory as 'L' if it is deep grey, else as it is."""
  if not image.mode.startswith('I'):
    return image
  return _in_eight(
    image, lambda box: np.asarray(image.crop(box)), mode='L', name=name
  )


def strips(image):
  """Boxes of whole rows of about `STRIP` pixels, from the top."""
  rows = max(1, STRIP // image.width)
  for top in range(0, image.height, rows):
    yield (0, top, image.width, min(top + rows, image.height))


def _colour(image, content, name):
  """The upper halves of 16-bit colours and their file's content, in 8 bits."""
  with Image.open(io.BytesIO(content), formats=('PNG',)) as lower:
    # The same bytes, the second of each pair taken for the upper one.
    (tile,) = lower.tile
    lower.tile = [tile._replace(args=tile.args.replace('16B', '16L'))]
    lower.load()

  def read(box):
    halves = (np.asarray(part.crop(box))[..., :3] for part in (image, lower))
    upper, low = (half.astype(np.uint16) for half in halves)
    return upper << 8 | low

  result = _in_eight(image, read, mode='RGB', name=name)
  if image.mode == 'RGBA':
    result.putalpha(image.getchannel('A'))
  return result


def _in_eight(image, read, *, mode, name):
  """An image of `mode` and of the size of `image`; read(box) has its values."""
  depth = _smallest(max(int(read(box).max()) for box in strips(image)))
  # Multiples of 256 or of 257: 8 bits that were moved up to 16.
  was_moved = depth < DEPTHS[-1] and any(
    not any((read(box) % factor).any() for box in strips(image))
    for factor in (256, 257)
  )
  if was_moved:
    depth = DEPTHS[-1]
  if depth < DEPTHS[-1]:
    logging.log_first_n(
      logging.WARNING,
      '%s: %d of %d bits are used, and scaled to 8 (told of %d images at most)',
      _TOLD,
      *(name, depth, DEPTHS[-1], _TOLD),
    )
  result = Image.new(mode, image.size)
  for box in strips(image):
    # Pillow's own conversion clips 16 bits at 255 instead of scaling.
    values = read(box) * (255 / (2**depth - 1))
    values = np.clip(np.round(values), 0, 255).astype(np.uint8)
    result.paste(Image.fromarray(values), box)
  return result


def _smallest(brightest):
  return next((d for d in DEPTHS if brightest < 2**d), DEPTHS[-1])


def _content(file):
  place = file.tell()
  file.seek(0)
  content = file.read()
  file.seek(place)
  return content

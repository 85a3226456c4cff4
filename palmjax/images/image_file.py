"""Image files opened with care, and brought to a square of one size.

Every image becomes a square RGB image: turned upright by its EXIF tag, 16 bits
scaled to 8, transparency composed over white, the largest centred square cut
out (the sides of a palm keep their proportions) and resized with antialiasing
(Lanczos; a JPEG much larger than needed is decoded at a reduced scale).
"""

import contextlib
import functools
import os

import numpy as np
from PIL import Image, ImageOps

SUFFIXES = ('.bmp', '.jpeg', '.jpg', '.png')
_STRIP = 2**20  # Pixels that are converted at a time.
# Only what the suffixes promise: Pillow would otherwise go by content and hand
# a disguised file to any of its forty decoders.
FORMATS = ('BMP', 'JPEG', 'PNG')
# 100 megapixels; what claims more is refused before it is decoded.
MAX_PIXELS = 100_000_000
# What Pillow's decoders raise on damaged files.
UNREADABLE = (
  OSError,
  ValueError,
  SyntaxError,
  IndexError,
  EOFError,
  OverflowError,
)


@contextlib.contextmanager
def opened(path, *, formats=FORMATS):
  """Opens an image file; its pixels are not decoded yet.

  Args:
    path: of the file, or a file object.
    formats: Pillow's names of those that it may have.

  Yields:
    A Pillow image.

  Raises:
    one of `UNREADABLE`: no file, no image of these formats, or one that claims
      more than `MAX_PIXELS`.
  """
  if isinstance(path, (str, os.PathLike)) and not os.path.isfile(path):
    # A dangling link, or a pipe that would never return.
    raise ValueError('not a file')
  limit = f'more than {MAX_PIXELS // 1_000_000} megapixels'
  try:
    image = Image.open(path, formats=formats)
  except Image.DecompressionBombError:
    # Pillow's own limit, which does not tell how large it is.
    raise ValueError(limit) from None
  with image:
    if image.width * image.height > MAX_PIXELS:
      raise ValueError(f'{image.width} × {image.height} pixels are {limit}')
    yield image


def attempt(read, path):
  """What `read(path)` returns, or one line that says why it cannot."""
  try:
    return read(path)
  except UNREADABLE as error:
    return ' '.join(str(error).split()) or type(error).__name__


def decode(path, *, size):
  """Reads one image file: uint8 [size, size, 3], RGB.

  Raises:
    one of `UNREADABLE`: the file is not a whole JPEG, PNG or BMP
      image, or claims more than `MAX_PIXELS`.
  """
  with opened(path) as image:
    # Scales a JPEG down by 2, 4 or 8 inside the decoder, never below twice the
    # side that is needed.
    image.draft(None, (2 * size, 2 * size))
    image.load()
    ImageOps.exif_transpose(image, in_place=True)
    return _square(image, size)


def read(path, *, size):
  """As `decode`, with one kind of error for all that can be wrong.

  Raises:
    ValueError: there is no such file or it is no whole image; one line that
      names the file.
  """
  image = attempt(functools.partial(decode, size=size), path)
  if isinstance(image, str):
    raise ValueError(f'{path}: {image}; give a JPEG, PNG or BMP image')
  return image


def square(array, *, size):
  """Brings an image in memory to size by the rule for files.

  Args:
    array: uint8 [H, W], [H, W, 1] or [H, W, 3] (RGB).
    size: side of the result in pixels.

  Returns:
    uint8 [size, size, 3], RGB.

  Raises:
    ValueError: another type or shape, no pixel, or more than
      `MAX_PIXELS`.
  """
  array = np.asarray(array)
  if array.dtype != np.uint8:
    raise ValueError(f'{array.dtype} pixels; give uint8, 0 to 255')
  if array.ndim != 2 and array.shape[2:] not in ((1,), (3,)):
    raise ValueError(f'shape {array.shape}; give H×W, H×W×1 or H×W×3')
  height, width = array.shape[:2]
  if not 0 < height * width <= MAX_PIXELS:
    raise ValueError(f'{width} × {height} pixels; give 1 to {MAX_PIXELS:,}')
  if array.size == height * width:
    array = array.reshape(height, width)
  return _square(Image.fromarray(array), size)


def _square(image, size):
  """The centred square of an upright Pillow image, at its size, RGB."""
  side = min(image.size)
  left, top = (image.width - side) // 2, (image.height - side) // 2
  if image.width != image.height:
    image = image.crop((left, top, left + side, top + side))
  resized = to_rgb(image).resize((size, size), Image.Resampling.LANCZOS)
  return np.asarray(resized, np.uint8)


def to_rgb(image):
  """Any Pillow image as RGB, 8 bits a channel; one that is RGB is not copied.

  Row by row, as photographs are large: beside the image and the result, what
  is in memory is `_STRIP` pixels of it.
  """
  if image.mode == 'RGB' and not image.has_transparency_data:
    return image
  rows = max(1, _STRIP // image.width)
  if image.height <= rows:
    return _to_rgb(image)
  result = Image.new('RGB', image.size)
  for top in range(0, image.height, rows):
    box = (0, top, image.width, min(top + rows, image.height))
    result.paste(_to_rgb(image.crop(box)), box)
  return result


def _to_rgb(image):
  if image.mode.startswith(('I', 'F')):
    # Pillow's own conversion clips 16 bits at 255 instead of scaling.
    grey = np.asarray(image).astype(np.float64) / 257.0
    grey = np.clip(np.round(grey), 0, 255).astype(np.uint8)
    return Image.fromarray(grey).convert('RGB')
  if image.has_transparency_data:
    white = Image.new('RGBA', image.size, 'white')
    return Image.alpha_composite(white, image.convert('RGBA')).convert('RGB')
  return image.convert('RGB')

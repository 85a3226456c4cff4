"""Image files opened with care, and brought to a square of one size.

Every image becomes a square RGB image: turned upright by its EXIF tag, more
than 8 bits scaled to 8 (`bit_depth`), transparency composed over white, the
largest centred square cut out (the sides of a palm keep their proportions) and
resized with antialiasing (Lanczos; a JPEG much larger than needed is decoded at
a reduced scale).
"""

import contextlib
import functools
import os

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from palmjax import file_names
from palmjax.images import bit_depth

SUFFIXES = ('.bmp', '.jpeg', '.jpg', '.png', '.webp')
# Only what the suffixes promise: Pillow would otherwise go by content and hand
# a disguised file to any of its forty decoders.
FORMATS = ('BMP', 'JPEG', 'PNG', 'WEBP')
KINDS = 'JPEG, PNG, BMP or WebP'
# Images as well, but of kinds that are not read: named where they lie.
OTHER_SUFFIXES = (
  *('.avif', '.cr2', '.dng', '.gif', '.heic', '.heif', '.jfif', '.jp2'),
  *('.jpe', '.jxl', '.mpo', '.nef', '.ppm', '.pgm', '.tif', '.tiff'),
)
# 100 megapixels; what claims more is refused before it is decoded.
MAX_PIXELS = 100_000_000

_LIMIT = f'more than {MAX_PIXELS // 1_000_000} megapixels'
_TURNS = {
  2: Image.Transpose.FLIP_LEFT_RIGHT,
  3: Image.Transpose.ROTATE_180,
  4: Image.Transpose.FLIP_TOP_BOTTOM,
  5: Image.Transpose.TRANSPOSE,
  6: Image.Transpose.ROTATE_270,
  7: Image.Transpose.TRANSVERSE,
  8: Image.Transpose.ROTATE_90,
}


class UnreadableError(ValueError):
  """A file is no whole image of the kinds that are read; one line says why."""


@contextlib.contextmanager
def opened(path, *, formats=FORMATS):
  """Opens an image file; its pixels are not decoded yet.

  What goes wrong while the file is open counts as the file's fault: Pillow's
  decoders raise nearly every exception of Python on damaged files.

  Args:
    path: of the file, or a file object.
    formats: Pillow's names of those that it may have.

  Yields:
    A Pillow image.

  Raises:
    UnreadableError: no file, no image of these formats, one that claims more
      than `MAX_PIXELS`, or any exception but MemoryError while it is open.
  """
  try:
    if isinstance(path, (str, os.PathLike)) and not os.path.isfile(path):
      # A dangling link, or a pipe that would never return.
      raise UnreadableError(_no_file(path))
    with Image.open(path, formats=formats) as image:
      if image.width * image.height > MAX_PIXELS:
        raise UnreadableError(
          f'{image.width} × {image.height} pixels are {_LIMIT}'
        )
      yield image
  except (MemoryError, UnreadableError):
    raise
  except Image.DecompressionBombError:
    # Pillow's own limit, which does not tell how large it is.
    raise UnreadableError(_LIMIT) from None
  except UnidentifiedImageError as error:
    # Without the path, which stands before all that is said of a file.
    empty = isinstance(path, (str, os.PathLike)) and not os.path.getsize(path)
    raise UnreadableError(
      'the file is empty' if empty else 'is no image that can be read'
    ) from error
  except Exception as error:
    raise UnreadableError(_one_line(error)) from error


def _no_file(path):
  if os.path.isdir(path):
    return 'is a folder'
  return 'not a file' if os.path.lexists(path) else 'there is no such file'


def _one_line(error):
  text = ' '.join(str(error).split())
  if 'truncated' in text.casefold():  # In five spellings.
    return 'the end of the file is missing: it is truncated'
  # Others say little without their type, such as a KeyError's '0'.
  says_enough = text and isinstance(error, (OSError, SyntaxError, ValueError))
  return text if says_enough else f'{type(error).__name__} {text}'.strip()


def attempt(read, path):
  """Calls `read(path)`; returns its result, or one line about the error."""
  try:
    return read(path)
  except UnreadableError as error:
    return str(error)


def read_or_explain(read, path):
  """Calls `read(path)`; an error names the file and what to give.

  Raises:
    UnreadableError: the file cannot be read; one line that names it.
  """
  try:
    return read(path)
  except UnreadableError as error:
    raise UnreadableError(
      f'{file_names.printable(path)}: {error}; give a {KINDS} image'
    ) from error


def orientation(image):
  """EXIF orientation of an image, 1 to 8; 1: it is upright.

  No tag is rewritten, as other tags may be damaged. A tag that cannot be read
  is none.
  """
  try:
    value = image.getexif().get(ExifTags.Base.Orientation, 1)
    # Some programs write a text or two numbers.
    value = int(value[0] if isinstance(value, tuple) else value)
  except MemoryError:
    raise
  except Exception:
    return 1
  return value if value in _TURNS else 1


def upright_size(size, turn):
  """(width, height) of an image of EXIF orientation `turn` once upright."""
  return size[::-1] if turn >= 5 else size


def turned(image, turn):
  """A decoded Pillow image of EXIF orientation `turn`, upright."""
  return image.transpose(_TURNS[turn]) if turn in _TURNS else image


def load(image):
  """Decodes an opened image, 8 bits a channel, turned upright by its EXIF."""
  decoded = bit_depth.load(image)
  return turned(decoded, orientation(image))


def decode(path, *, size):
  """Reads one image file: uint8 [size, size, 3], RGB.

  Raises:
    UnreadableError: the file is no whole image of `FORMATS`, or claims more
      than `MAX_PIXELS`.
  """
  return decode_with_size(path, size=size)[0]


def decode_with_size(path, *, size):
  """As `decode`: (image, (width, height) of the file, not turned upright)."""
  with opened(path) as image:
    whole = image.size
    # Scales a JPEG down by 2, 4 or 8 inside the decoder, never below twice the
    # side that is needed.
    image.draft(None, (2 * size, 2 * size))
    return _square(load(image), size), whole


def read(path, *, size):
  """As `decode`, with the file's name in the error.

  Raises:
    UnreadableError: there is no such file or it is no whole image; one line
      that names the file.
  """
  return read_or_explain(functools.partial(decode, size=size), path)


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

  By strips of rows, as photographs are large: beside the image and the result,
  what is in memory is `bit_depth.STRIP` pixels of it.
  """
  image = bit_depth.scaled(image)
  if image.mode == 'RGB' and not image.has_transparency_data:
    return image
  result = Image.new('RGB', image.size)
  for box in bit_depth.strips(image):
    result.paste(_to_rgb(image.crop(box)), box)
  return result


def _to_rgb(image):
  if image.has_transparency_data:
    white = Image.new('RGBA', image.size, 'white')
    return Image.alpha_composite(white, image.convert('RGBA')).convert('RGB')
  return image.convert('RGB')

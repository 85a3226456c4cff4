"""Image files opened with care: no image and one too large are told apart."""

import contextlib
import os

from PIL import Image

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

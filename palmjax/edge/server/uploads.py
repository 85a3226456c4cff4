"""Images that came over the network, decoded with care."""

import io

import numpy as np

from palmjax.edge import protocol
from palmjax.images import image_file


def check(content):
  """Refuses what is no palm's image, before its pixels are decoded.

  Raises:
    ValueError: no image, too small, or too many pixels; one line.
  """
  with image_file.opened(io.BytesIO(content)) as image:
    width, height = image.size
  if width * height > protocol.MOST_PIXELS:
    raise ValueError(
      f'{width} × {height} pixels are more than {protocol.MOST_PIXELS}; send '
      'the palm alone'
    )
  if min(width, height) < protocol.LEAST_SIDE:
    raise ValueError(
      f'{width} × {height} pixels; a palm needs {protocol.LEAST_SIDE} a side'
    )


def decode(content, size):
  """A square image uint8 [size, size, 3].

  Raises:
    ValueError: the image is damaged; one line.
  """
  image, _ = image_file.decode_with_size(io.BytesIO(content), size=size)
  return np.asarray(image)

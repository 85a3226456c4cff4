"""Files that show palms: a palm alone, or a whole hand whose palm is found."""

import pathlib
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from palmjax.images import image_file, photo, roi
from palmjax.inference import finder

# In grey levels. Below it there are rounding errors and no creases.
_LEAST_DEVIATION = 1.0


class Palm(NamedTuple):
  """The picture of a palm.

  Attributes:
    image: uint8 [size, size, 3], fingers up, thumb side left for a left palm.
    hand: the `finder.Hand` that it was cut from; None where the image
      showed the palm alone.
    palms: that the photo shows; the best one was taken.
  """

  image: np.ndarray
  hand: finder.Hand | None = None
  palms: int = 1


def read(path, *, size) -> Palm:
  """Reads an image of a palm alone, as `image_file.read` does.

  Raises:
    ValueError: there is no such file, it is no whole image or it shows nothing;
      one line that names the file.
  """
  image = image_file.read(path, size=size)
  _check_shows_something(image, path)
  return Palm(image)


def read_photo(find: Callable, path, *, size) -> Palm:
  """Reads a photo of a whole hand and cuts out its palm.

  Args:
    find: of `finder.load`.
    path: of a JPEG, PNG or BMP file; turned upright by its EXIF tag.
    size: side of the palm's picture in pixels.

  Raises:
    ValueError: no such file, no whole image, or what `find_palm` raises; one
      line that names the file.
  """
  image = photo.read(path)
  try:
    palm = find_palm(find, image, size=size)
  except ValueError as error:
    raise ValueError(f'{path}: {error}') from error
  _check_shows_something(palm.image, path)
  return palm


def find_palm(find: Callable, image, *, size) -> Palm:
  """Cuts the palm out of a photo; of several, the one found most surely.

  Args:
    find: of `finder.load`.
    image: uint8 [H, W, 3], upright.
    size: side of the palm's picture in pixels.

  Raises:
    ValueError: there is no hand, none shows its palm, or most of it lies
      outside the photo; one line that says what to do.
  """
  found = find(image)
  if not found:
    raise ValueError(
      'no hand found; show a whole hand before a calm background'
    )
  palms = [hand for hand in found if hand.shows_palm]
  if not palms:
    seen = ', '.join(
      f'the back of {hand.gesture!r}' if hand.framed else repr(hand.gesture)
      for hand in found
    )
    raise ValueError(
      f'no palm found, but {seen}; show an open hand, its palm to the camera'
    )
  return Palm(
    roi.cut_photo(image, palms[0].points, size=size), palms[0], len(palms)
  )


def told(path, palm):
  """What is told of a palm that was cut out of a photo, as plain values."""
  return {
    'image': str(path),
    'hand': palm.hand.side,
    'gesture': palm.hand.gesture,
    'hand_score': palm.hand.score,
    'palms': palm.palms,
  }


def find_gallery(directory):
  """Sorted names of a gallery's images, '<identity>/<image>' or '<image>'.

  Raises:
    ValueError: there is no such folder, or no image in it.
  """
  root = pathlib.Path(directory)
  if not root.is_dir():
    raise ValueError(f'there is no folder {directory}; give the gallery')
  names = sorted(
    path.relative_to(root).as_posix()
    for pattern in ('*', '*/*')
    for path in root.glob(pattern)
    if path.suffix.lower() in image_file.SUFFIXES and path.is_file()
  )
  names = [name for name in names if '/.' not in f'/{name}']
  if not names:
    raise ValueError(
      f'no image in {directory}: looked for <identity>/<image> and <image>, '
      f'{"|".join(image_file.SUFFIXES)}'
    )
  return names


def _check_shows_something(image, path):
  if image.std(axis=(0, 1)).max() < _LEAST_DEVIATION:
    raise ValueError(f'{path}: one colour all over; give an image of a palm')

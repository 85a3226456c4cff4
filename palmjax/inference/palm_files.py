"""Files that show palms: a palm alone, or a whole hand whose palm is found."""

import collections
import functools
import os
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from palmjax import file_names
from palmjax.images import image_file, image_tree, photo, roi
from palmjax.inference import cut_out, finder

# In grey levels. Below it there are rounding errors and no creases.
_LEAST_DEVIATION = 1.0
_LEAST_SIDE = 32  # Pixels. Smaller images show no creases.
PICTURE = '_boxes.jpg'  # What `palmjax.detect` draws a photo into.


class Palm(NamedTuple):
  """Image of one palm, with the hand that it was cut from.

  Attributes:
    image: uint8 [size, size, 3], fingers up, thumb side left for a left palm.
    hand: the `finder.Hand` that it was cut from; None where the image
      showed the palm alone.
    palms: that the photo shows; the best one was taken.
    doubt: why the image may show more than a palm, or ''; of `cut_out`.
    width: in pixels of the photo, of the square that was cut out; None where
      the image showed the palm alone.
  """

  image: np.ndarray
  hand: finder.Hand | None = None
  palms: int = 1
  doubt: str = ''
  width: float | None = None

  @property
  def enlarged(self):
    """Whether the photo shows the palm smaller than `image` does."""
    return self.width is not None and self.width < len(self.image)


class PalmFolder(NamedTuple):
  """The palms of a gallery that could be read, and the others.

  Attributes:
    palms: {name: `Palm`}, sorted by name; `identity` tells whose.
    left_out: a line each: images, folders and identities that are not in
      `palms`.
    missing: identities none of whose images could be read. Nobody can be found
      to be one of them.
    pictures: how many pictures of photos, by `palmjax.detect`, were passed
      over.
  """

  palms: dict[str, Palm]
  left_out: tuple[str, ...]
  missing: tuple[str, ...]
  pictures: int = 0


def reader(*, size, photos, detector=None, palm_frame=None) -> Callable:
  """Returns path → `Palm`, for palms alone or for photos of hands.

  Args:
    size: side of a palm alone; the smallest that a cut-out palm may have.
    photos: whether files show whole hands.
    detector, palm_frame: export folders of `finder.load`.
  """
  if not photos:
    return functools.partial(read, size=size)
  find = finder.load(detector, palm_frame=palm_frame)
  return functools.partial(read_photo, find, size=size)


def read(path, *, size) -> Palm:
  """Reads an image of a palm alone, as `image_file.read` does.

  Raises:
    ValueError: there is no such file, it is no whole image, it shows nothing or
      is too small; one line that names the file.
  """
  decode = functools.partial(image_file.decode_with_size, size=size)
  image, whole = image_file.read_or_explain(decode, path)
  _check_shows_something(image, path)
  if min(whole) < _LEAST_SIDE:
    raise ValueError(
      f'{file_names.printable(path)}: {whole[0]} × {whole[1]} pixels; give a '
      f'palm of {_LEAST_SIDE} × {_LEAST_SIDE} pixels or more'
    )
  return Palm(image, doubt=cut_out.doubt(image, whole))


def read_photo(find: Callable, path, *, size) -> Palm:
  """Reads a photo of a whole hand and cuts out its palm.

  Args:
    find: of `finder.load`.
    path: of a JPEG, PNG, BMP or WebP file; turned upright by its EXIF tag.
    size: side of the palm's picture in pixels.

  Raises:
    ValueError: no such file, no whole image, or what `find_palm` raises; one
      line that names the file.
  """
  image = photo.read(path)
  try:
    palm = find_palm(find, image, size=size)
  except ValueError as error:
    raise ValueError(
      f'{file_names.printable(path)}: {error}; or, if the image shows a palm '
      'alone, leave out --photos'
    ) from error
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
  hands = find(image)
  if not hands:
    raise ValueError(
      'no hand found; show a whole hand before a calm background'
    )
  palms = [hand for hand in hands if hand.shows_palm]
  if not palms:
    advice = 'show an open hand, its palm to the camera'
    if any(_is_unclear(hand) for hand in hands):
      advice = 'show the palm from the front, larger and in even light'
    raise ValueError(
      f'no palm found, but {", ".join(map(_seen, hands))}; {advice}'
    )
  best = palms[0]
  return Palm(
    roi.cut_photo(image, best.points, size=size),
    best,
    len(palms),
    width=roi.side_in_image(best.points),
  )


def _is_unclear(hand):
  """Whether a hand is open, and yet its palm cannot be cut out."""
  return hand.gesture in finder.OPEN_GESTURES and not hand.framed


def _seen(hand):
  if _is_unclear(hand):
    return f'an open hand, {hand.gesture!r}, whose palm is not clear'
  return f'the back of {hand.gesture!r}' if hand.framed else repr(hand.gesture)


def describe(path, palm):
  """JSON values of a palm that was cut out of a photo: gesture, score."""
  return {
    'image': file_names.printable(path),
    'hand': palm.hand.side,
    'gesture': palm.hand.gesture,
    'hand_score': palm.hand.score,
    'palms': palm.palms,
  }


def identity(name):
  """Whose palm an image of a gallery shows: its folder, else the image."""
  # The two spellings of an accented letter are one name.
  return file_names.composed(name.split('/')[0])


def whose(name, palm):
  """Whose palm an image of a gallery shows, and which: (identity, side).

  The side is that of the hand in a photo, '' if the image showed a palm alone.
  """
  return identity(name), (palm.hand.side if palm.hand else None) or ''


def read_gallery(directory, read: Callable, *, each_once=False) -> PalmFolder:
  """Reads the palms of a gallery, '<identity>/<image>' or '<image>'.

  Args:
    directory: of the gallery.
    read: path → `Palm`; raises ValueError for what shows none.
    each_once: whether a folder may hold one image of each palm only. Folders
      with most images are read first, so few are read before the error.

  Raises:
    ValueError: there is no such folder, no image in it, or none can be read;
      with `each_once`, a folder holds two images of a palm.
  """
  directory = os.fspath(directory)
  shown_path = file_names.printable(directory)
  if not os.path.isdir(directory):
    raise ValueError(f'there is no folder {shown_path}; give that of the palms')
  tree = image_tree.find(directory, depth=2)
  images = [path for path in tree.images if not _is_picture(directory, path)]
  left_out = tree.lines()
  palms, refused = _read(directory, images, read, each_once)
  left_out += refused
  everyone = {*tree.folders, *images, *tree.left_out}
  everyone = {identity(file_names.printable(name)) for name in everyone}
  missing = tuple(sorted(everyone - set(map(identity, palms))))
  if not images:
    raise ValueError(
      f'no image in {shown_path}: looked for <identity>/<image> and <image>, '
      f'{"|".join(image_file.SUFFIXES)}'
      + (f'; {left_out[0]}' if left_out else '')
    )
  if not palms:
    raise ValueError(
      f'none of the images in {shown_path} can be read as a palm: {left_out[0]}'
    )
  # Of an image beside the folders its own line says so.
  alone = {file_names.composed(file_names.printable(x)) for x in images}
  left_out += [
    f'{name}: no image of this palm can be read'
    for name in missing
    if name not in alone
  ]
  pictures = len(tree.images) - len(images)
  return PalmFolder(palms, tuple(left_out), missing, pictures)


def _read(directory, images, read, each_once):
  """({name: `Palm`}, a line for each other image) of relative paths."""
  names = {path: file_names.printable(path) for path in images}
  inside = [name for name in names.values() if '/' in name]
  folders = collections.Counter(map(identity, inside))
  palms, refused, seen = {}, {}, set()
  for path in sorted(images, key=lambda x: -folders[identity(names[x])]):
    try:
      palm = read(os.path.join(directory, path))
    except ValueError as error:
      refused[path] = ' '.join(str(error).split())
      continue
    palms[path] = palm
    # By its name a folder may hold the left and the right palm of a person.
    if each_once and '/' in path:
      if (who := whose(names[path], palm)) in seen:
        several = sum(count > 1 for count in folders.values())
        raise ValueError(
          f'{several} folders hold several images, such as {who[0]}: if the '
          'images of a folder show one palm add --known, else put them into '
          'one folder without sub-folders'
        )
      seen.add(who)
  return (
    {names[path]: palms[path] for path in images if path in palms},
    [refused[path] for path in images if path in refused],
  )


def _is_picture(directory, path):
  """Whether `palmjax.detect` wrote the image, with a .json of its photo."""
  stem, separator, _ = path.rpartition(PICTURE)
  return bool(separator) and os.path.isfile(
    os.path.join(directory, f'{stem}.json')
  )


def _check_shows_something(image, path):
  if image.std(axis=(0, 1)).max() < _LEAST_DEVIATION:
    raise ValueError(
      f'{file_names.printable(path)}: one colour all over; give an image of a '
      'palm'
    )

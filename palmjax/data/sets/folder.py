"""An image folder DIR/<identity>/<image>.jpg|png|bmp|webp, as uint8 arrays.

Every image becomes a square RGB image as `images.image_file.decode` makes it.

Order: identities by name, images by name within the identity, both as Python
compares strings (by code point, so 'p10' comes before 'p2'): the same on every
machine and file system. Labels number the identities in that order. Names that
are not UTF-8 stand with escapes (`file_names.printable`) and keep their place.
"""

import concurrent.futures
import dataclasses
import functools
import os

import numpy as np
from absl import logging

from palmjax import file_names
from palmjax.data.sets import turns
from palmjax.images import image_file, image_tree, photo_paths

# Share of unreadable images above which reading stops: a few broken files are
# life, many mean a broken copy or a wrong folder.
MAX_SKIPPED = 0.05

# Left out files and folders that are named in the log.
_NAMED = 20
_LAYOUT = 'put the images of each palm into a folder of their own'


@dataclasses.dataclass(frozen=True, eq=False)
class Images:
  """Labelled images in memory.

  Attributes:
    images: uint8 [N, size, size, 3], RGB.
    labels: int32 [N], dense: 0 … K − 1.
    identities: K names; `identities[label]` is who that is.
    ids: N names, unique and stable: paths relative to the folder, with '/'.
    groups: int or str [N], what a split must keep together (`splits`): the
      identity's name, or the person whose left and right palm are two.
    skipped: names of the images that could not be read.
  """

  images: np.ndarray
  labels: np.ndarray
  identities: tuple[str, ...]
  ids: tuple[str, ...]
  groups: np.ndarray
  skipped: tuple[str, ...] = ()


def read(directory, *, size, turn=0, only=None):
  """Reads an image folder into memory.

  Hidden files are passed over. Images of kinds that are not read, images
  outside an identity folder, folders below one and folders without an image are
  left out, counted and named in the log. Unreadable images are skipped, counted
  and named in the log.

  Args:
    directory: path of DIR in the layout of the module.
    size: side of the images in pixels.
    turn: degrees clockwise that bring the palms upright (`turns`).
    only: ids of the images to read; None reads all.

  Returns:
    `Images`.

  Raises:
    FileNotFoundError, NotADirectoryError: there is no such folder.
    ValueError: no image, not two identities, two identities whose names look
      the same, or more than `MAX_SKIPPED` of the images unreadable; one line
      that says what to do.
  """
  directory = os.fspath(directory)
  paths = _find(directory)
  if only is not None:
    only = frozenset(only)
    paths = [path for path in paths if _id(path) in only]
  # Pillow lets go of the interpreter lock while it decodes and resizes.
  workers = min(8, os.cpu_count() or 1)
  with concurrent.futures.ThreadPoolExecutor(workers) as pool:
    decoded = list(
      pool.map(
        lambda path: image_file.attempt(
          functools.partial(image_file.decode, size=size),
          os.path.join(directory, *path),
        ),
        paths,
      )
    )

  ids = list(map(_id, paths))
  names = [tuple(name.split('/')) for name in ids]
  broken = [
    (name, image)
    for name, image in zip(ids, decoded, strict=True)
    if isinstance(image, str)
  ]
  for name, reason in broken:
    logging.warning('skipped %s: %s', os.path.join(directory, name), reason)
  skipped = tuple(name for name, _ in broken)
  if len(skipped) > MAX_SKIPPED * len(paths):
    raise ValueError(
      f'{len(skipped)} of {len(paths)} images in {directory} cannot be read '
      f'(more than {MAX_SKIPPED:.0%}): {_first(skipped)}; repair or remove them'
    )
  if skipped:
    logging.warning(
      'skipped %d of %d images in %s', len(skipped), len(paths), directory
    )

  kept = [i for i, image in enumerate(decoded) if not isinstance(image, str)]
  # In the order of the folders, whose names may have been escaped.
  identities = list(dict.fromkeys(names[i][0] for i in kept))
  if len(identities) < 2:
    raise ValueError(
      f'{directory} has images of one identity only ({identities[0]}); '
      f'recognition needs at least two: {_LAYOUT}'
    )
  label = {name: k for k, name in enumerate(identities)}
  return Images(
    images=np.stack([turns.upright(decoded[i], turn) for i in kept]),
    labels=np.array([label[names[i][0]] for i in kept], np.int32),
    identities=tuple(identities),
    ids=tuple(ids[i] for i in kept),
    groups=np.array([names[i][0] for i in kept]),
    skipped=skipped,
  )


def _id(path):
  """The name of an (identity, file name), as people read it."""
  return '/'.join(map(file_names.printable, path))


def _find(directory):
  """Returns the sorted (identity, file name) pairs of a folder."""
  if not os.path.exists(directory):
    raise FileNotFoundError(
      f'there is no folder {directory!r}; give one that holds '
      'DIR/<identity>/<image>.jpg|png|bmp|webp'
    )
  if not os.path.isdir(directory):
    raise NotADirectoryError(
      f'{directory} is a file; give the folder that holds '
      'DIR/<identity>/<image>.jpg|png|bmp|webp'
    )
  # Two levels and no deeper: a link that points back up cannot loop.
  tree = image_tree.find(directory, depth=2)
  drawn = [p for p in tree.images if p.endswith(photo_paths.PICTURE)]
  images = [path for path in tree.images if path not in drawn]
  paths = [tuple(path.split('/')) for path in images if '/' in path]
  loose = [path for path in images if '/' not in path]
  for name in tree.folders:
    if name in tree.left_out:
      raise ValueError(
        f'{file_names.printable(os.path.join(directory, name))}: '
        f'{tree.left_out[name]}; make it readable or remove it'
      )
  if not paths:
    raise ValueError(_nothing(directory, tree, loose))
  _check_spelling(directory, tree.folders)
  empty = set(tree.folders) - {folder for folder, _ in paths}
  left_out = {
    **dict.fromkeys(sorted(loose), 'an image outside an identity folder'),
    **dict.fromkeys(sorted(empty), 'a folder without an image'),
    **dict.fromkeys(drawn, 'a picture that palmjax.detect drew'),
    **tree.left_out,
  }
  for name, reason in list(left_out.items())[:_NAMED]:
    name = file_names.printable(name)
    logging.warning('left out %s in %s: %s', name, directory, reason)
  if left_out:
    logging.warning(
      'left out %d images and folders of %s', len(left_out), directory
    )
  return paths


def _check_spelling(directory, folders):
  """Raises ValueError for two folders whose names look the same."""
  seen = {}
  for folder in folders:
    name = file_names.printable(folder)
    key = file_names.composed(name)
    if key in seen:
      raise ValueError(
        f'{directory} has two folders that look like one: '
        f'{file_names.spelled(seen[key])} and {file_names.spelled(name)}; put '
        'the images of one palm into one folder'
      )
    seen[key] = name


def _nothing(directory, tree, loose):
  """The message for a folder in which no image was found."""
  if loose:
    return (
      f'{directory} holds {len(loose)} images but no identity folder; '
      f'{_LAYOUT}: {directory}/<identity>/{file_names.printable(loose[0])}'
    )
  if tree.folders or tree.left_out:
    lines = tree.lines()
    return (
      f'no image in the {len(tree.folders)} folders of {directory}: looked for '
      f'<identity>/*{"|".join(image_file.SUFFIXES)}, not in folders below those'
      + (f'; {_first(lines)}' if lines else '')
    )
  if os.listdir(directory):
    return (
      f'{directory} holds no identity folder and no image, but other files; '
      f'{_LAYOUT}: {directory}/<identity>/<image>.jpg'
    )
  return f'{directory} is empty; {_LAYOUT}: {directory}/<identity>/<image>.jpg'


def _first(names, count=3):
  more = f' and {len(names) - count} more' if len(names) > count else ''
  return ', '.join(names[:count]) + more

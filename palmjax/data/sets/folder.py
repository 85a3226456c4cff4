"""An image folder DIR/<identity>/<image>.jpg|jpeg|png|bmp, as uint8 arrays.

Every image becomes a square RGB image as `images.image_file.decode` makes it.

Order: identities by name, images by name within the identity, both as Python
compares strings (by code point, so 'p10' comes before 'p2'): the same on every
machine and file system. Labels number the identities in that order.
"""

import concurrent.futures
import dataclasses
import functools
import os

import numpy as np
from absl import logging

from palmjax.images import image_file

# Share of unreadable images above which reading stops: a few broken files are
# life, many mean a broken copy or a wrong folder.
MAX_SKIPPED = 0.05

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


def read(directory, *, size):
  """Reads an image folder into memory.

  Hidden files, files with other suffixes, images outside an identity folder
  and folders below one are left out with a count in the log. Unreadable images
  are skipped, counted and named in the log.

  Args:
    directory: path of DIR in the layout of the module.
    size: side of the images in pixels.

  Returns:
    `Images`.

  Raises:
    FileNotFoundError, NotADirectoryError: there is no such folder.
    ValueError: no image, not two identities, or more than `MAX_SKIPPED` of the
      images unreadable; one line that says what to do.
  """
  directory = os.fspath(directory)
  paths = _find(directory)
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

  ids = ['/'.join(path) for path in paths]
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
  identities = sorted({paths[i][0] for i in kept})
  if len(identities) < 2:
    raise ValueError(
      f'{directory} has images of one identity only ({identities[0]}); '
      f'recognition needs at least two: {_LAYOUT}'
    )
  label = {name: k for k, name in enumerate(identities)}
  return Images(
    images=np.stack([decoded[i] for i in kept]),
    labels=np.array([label[paths[i][0]] for i in kept], np.int32),
    identities=tuple(identities),
    ids=tuple(ids[i] for i in kept),
    groups=np.array([paths[i][0] for i in kept]),
    skipped=skipped,
  )


def _find(directory):
  """Returns the sorted (identity, file name) pairs of a folder."""
  if not os.path.exists(directory):
    raise FileNotFoundError(
      f'there is no folder {directory!r}; give one that holds '
      'DIR/<identity>/<image>.jpg|png|bmp'
    )
  if not os.path.isdir(directory):
    raise NotADirectoryError(
      f'{directory} is a file; give the folder that holds '
      'DIR/<identity>/<image>.jpg|png|bmp'
    )
  folders, files = _list(directory)
  paths, ignored = [], 0
  # Two levels and no deeper: a link that points back up cannot loop.
  for folder in folders:
    below, names = _list(os.path.join(directory, folder))
    images = [name for name in names if _is_image(name)]
    paths += [(folder, name) for name in images]
    ignored += len(below) + len(names) - len(images)
  loose = [name for name in files if _is_image(name)]
  if not paths:
    raise ValueError(_nothing(directory, folders, files, loose))
  ignored += len(files)
  if ignored:
    logging.info(
      'left out %d files and folders of %s that are not <identity>/<image>%s',
      ignored,
      directory,
      f', {len(loose)} of them images outside a folder' if loose else '',
    )
  return paths


def _nothing(directory, folders, files, loose):
  """The message for a folder in which no image was found."""
  if loose:
    return (
      f'{directory} holds {len(loose)} images but no identity folder; '
      f'{_LAYOUT}: {directory}/<identity>/{loose[0]}'
    )
  if folders:
    return (
      f'no image in the {len(folders)} folders of {directory}: looked for '
      f'<identity>/*{"|".join(image_file.SUFFIXES)}, not in folders below those'
    )
  if files:
    return (
      f'{directory} holds no identity folder and no image, but other files; '
      f'{_LAYOUT}: {directory}/<identity>/<image>.jpg'
    )
  return f'{directory} is empty; {_LAYOUT}: {directory}/<identity>/<image>.jpg'


def _list(directory):
  """Returns the sorted names of (folders, files); hidden ones count as none."""
  folders, files = [], []
  with os.scandir(directory) as entries:
    for entry in entries:
      if entry.name.startswith('.'):
        continue
      # Not `entry.is_dir()`, which raises on a link to itself.
      is_folder = os.path.isdir(entry.path)
      (folders if is_folder else files).append(entry.name)
  return sorted(folders), sorted(files)


def _is_image(name):
  return name.lower().endswith(image_file.SUFFIXES)


def _first(names, count=3):
  more = f' and {len(names) - count} more' if len(names) > count else ''
  return ', '.join(names[:count]) + more

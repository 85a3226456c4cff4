"""Finds the images below a folder, and names what is left out."""

import os
from typing import NamedTuple

from palmjax import file_names
from palmjax.images import image_file


class ImageTree(NamedTuple):
  """Images below a folder, and files that are left out.

  Attributes:
    images: paths relative to the folder, with '/', sorted by their parts. By
      suffix only: nothing was opened.
    folders: of those one level down, the names, sorted; the hidden ones out.
    left_out: {path: why} of folders that cannot be listed, images of kinds that
      are not read, and folders that lie too deep.
  """

  images: tuple[str, ...]
  folders: tuple[str, ...]
  left_out: dict[str, str]

  def lines(self):
    """What was left out, a line each."""
    return [
      f'{file_names.printable(path)}: {why}'
      for path, why in self.left_out.items()
    ]


def find(directory, *, depth=None):
  """Lists the images below a folder; hidden files and folders are passed over.

  Links to folders are followed, but for those that lead back up.

  Args:
    directory: path of the folder.
    depth: levels of names to look into, 1 for the folder alone; None for all.

  Raises:
    OSError: the folder itself cannot be listed.
  """
  directory = os.fspath(directory)
  images, left_out = [], {}
  folders, names = _list(directory)
  queue = [((), (os.path.realpath(directory),), folders, names)]
  while queue:
    parts, above, below, names = queue.pop()
    for name in names:
      if name.lower().endswith(image_file.SUFFIXES):
        images.append((*parts, name))
      elif name.lower().endswith(image_file.OTHER_SUFFIXES):
        why = f'not read; give a {image_file.KINDS} image'
        left_out['/'.join((*parts, name))] = why
    for name in below:
      deeper = (*parts, name)
      path = os.path.join(directory, *deeper)
      real = os.path.realpath(path)
      if real in above:
        continue
      if depth is not None and len(deeper) >= depth:
        left_out['/'.join(deeper)] = 'a folder that lies too deep; not read'
        continue
      try:
        queue.append((deeper, (*above, real), *_list(path)))
      except OSError as error:
        left_out['/'.join(deeper)] = error.strerror or str(error)
  return ImageTree(
    tuple('/'.join(parts) for parts in sorted(images)),
    tuple(folders),
    dict(sorted(left_out.items())),
  )


def _list(directory):
  """Sorted names of (folders, other files) that are not hidden."""
  folders, names = [], []
  with os.scandir(directory) as entries:
    for entry in entries:
      if not entry.name.startswith('.'):
        # Not `entry.is_dir()`, which raises on a link to itself.
        (folders if os.path.isdir(entry.path) else names).append(entry.name)
  return sorted(folders), sorted(names)

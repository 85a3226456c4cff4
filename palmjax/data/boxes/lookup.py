"""Files of a folder, found by the names that label files give them.

Label files are written on one machine and read on another. There a suffix may
be in capitals, and an accent may stand behind its letter (a copy from a Mac).
"""

import os
import posixpath

from palmjax import file_names


class Lookup:
  """Files below a folder by name; every folder is listed once."""

  def __init__(self, directory):
    """Takes the path of the folder."""
    self._directory = os.fspath(directory)
    self._folders = {}

  def find(self, path, *, is_right=os.path.isfile):
    """The file that a relative path with '/' means; None if it is not one file.

    A file of that very name, else the only one whose name differs in capitals
    and in the spelling of accents alone.

    Args:
      path: relative to the folder.
      is_right: what is looked for, e.g. `os.path.isdir`.
    """
    path = posixpath.normpath(path)
    if is_right(os.path.join(self._directory, path)):
      return path
    alike = [
      one
      for one in self._alike(path)
      if is_right(os.path.join(self._directory, one))
    ]
    return alike[0] if len(alike) == 1 else None

  def images(self, path, suffixes):
    """The files that `path` with one of `suffixes` means, sorted."""
    folder, stem = posixpath.split(posixpath.normpath(path))
    images = [
      place
      for one in self._alike(folder)
      for place in self._folder(one).get((_key(stem), 'stem'), ())
      if place.lower().endswith(suffixes)
    ]
    want = posixpath.join(folder, stem)
    exact = [x for x in images if posixpath.splitext(x)[0] == want]
    return exact or images

  def _alike(self, path):
    """All paths of files and folders whose parts are alike."""
    if path in ('', '.', '..') or path.endswith('/..'):
      return [path]
    folder, name = posixpath.split(path)
    if folder == path:  # The root.
      return [path]
    if os.path.lexists(os.path.join(self._directory, path)):
      return [path]
    return [
      place
      for one in self._alike(folder)
      for place in self._folder(one).get((_key(name), 'name'), ())
    ]

  def _folder(self, folder):
    """{(key, 'name' or 'stem'): paths} of what lies in a folder."""
    if folder not in self._folders:
      try:
        names = sorted(os.listdir(os.path.join(self._directory, folder)))
      except OSError:
        names = []
      index = {}
      for name in names:
        path = posixpath.join(folder, name)
        stem = posixpath.splitext(name)[0]
        for key in ((_key(name), 'name'), (_key(stem), 'stem')):
          index.setdefault(key, []).append(path)
      self._folders[folder] = index
    return self._folders[folder]


def _key(name):
  return file_names.composed(name).casefold()

"""Photos that a command line names, and what their results are called."""

import glob
import itertools
import os
import pathlib
import re

from palmjax import file_names
from palmjax.images import image_file, image_tree

# What `palmjax.detect` draws a photo into, after the photo's name.
PICTURE = '_boxes.jpg'
# Of a photo called as its first group.
_RESULT = re.compile(r'(.*)(\.json|_boxes\.jpg|_roi\d+\.png)', re.IGNORECASE)


def collect(given, out):
  """The files that a command line names, each once, and what is no such.

  Args:
    given: files, folders, which are searched to the bottom, and patterns.
    out: folder of the results, which are no photos.

  Returns:
    (list of `pathlib.Path` in the order given, complaints: a line each).
  """
  paths, complaints = {}, {}
  for name in given:
    if os.path.isdir(name):
      photos, wrong = _inside(name, out)
      if os.path.realpath(name) == os.path.realpath(out):
        wrong[name] = 'the results go there; give another --out'
      elif not (photos or wrong):
        suffixes = '|'.join(image_file.SUFFIXES)
        wrong[name] = f'no image in this folder, of {suffixes}'
    elif not os.path.lexists(name) and glob.has_magic(name):
      photos, wrong = _matching(name, out)
      if not (photos or wrong):
        wrong[name] = 'no file has such a name; give photos, or a folder'
    else:
      photos, wrong = [name], {}
    for path, why in wrong.items():
      line = f'{file_names.printable(path)}: {why}'
      complaints.setdefault(os.path.realpath(path), line)
    for path in photos:
      paths.setdefault(os.path.realpath(path), pathlib.Path(path))
  return list(paths.values()), list(complaints.values())


def _inside(directory, out):
  """(images below a folder, but for those in `out`; {path: why} of others)."""
  try:
    tree = image_tree.find(directory)
  except OSError as error:
    return [], {directory: error.strerror or str(error)}
  folder = os.path.realpath(out)

  def is_result(path):
    parent = os.path.dirname(os.path.realpath(path))
    return os.path.commonpath([folder, parent]) == folder

  images = [os.path.join(directory, path) for path in tree.images]
  left_out = {
    os.path.join(directory, path): why for path, why in tree.left_out.items()
  }
  return [path for path in images if not is_result(path)], left_out


def _matching(pattern, out):
  """As `_inside`, of a pattern: the files it means, folders to the bottom."""
  photos, wrong = [], {}
  for path in sorted(glob.glob(pattern, recursive=True)):
    if os.path.isdir(path):
      images, left_out = _inside(path, out)
      photos += images
      wrong |= left_out
    else:
      photos.append(path)
  # `glob` passes over folders that cannot be listed.
  parts = pattern.split(os.sep)
  plain = list(
    itertools.takewhile(lambda part: not glob.has_magic(part), parts)
  )
  start = os.sep.join(plain) or (os.sep if parts[0] == '' else '.')
  if len(parts) - len(plain) > 1 and os.path.isdir(start):
    _, left_out = _inside(start, out)
    wrong |= {
      path: why for path, why in left_out.items() if os.path.isdir(path)
    }
  return photos, wrong


def result_names(paths, out, given):
  """Names for the results of photos: all different, none that of a photo.

  Args:
    paths: of `collect`.
    out: folder of the results.
    given: what `collect` was given; the folders below a folder are kept.

  Returns:
    A name for each path, relative to `out`, with '/' and without an ending.
  """
  roots = [pathlib.Path(name) for name in given if os.path.isdir(name)]
  folder, taken = pathlib.Path(os.path.realpath(out)), set()
  for path in paths:
    parent = pathlib.Path(os.path.realpath(path.parent))
    for place in (parent / path.name, pathlib.Path(os.path.realpath(path))):
      match = _RESULT.fullmatch(place.name)
      if match and place.is_relative_to(folder):
        taken.add(_name(place.with_name(match[1]), [folder]).casefold())
  names = []
  for path in paths:
    stem = _name(path.with_name(path.stem), roots)
    number, name = 1, stem
    # Names that differ in case only are one on some file systems.
    while name.casefold() in taken:
      number += 1
      name = f'{stem}-{number}'
    taken.add(name.casefold())
    names.append(name)
  return names


def _name(path, roots):
  """A path below the first of the roots it lies in, or else its last part."""
  for root in roots:
    if path.is_relative_to(root):
      parts = path.relative_to(root).parts
      return '/'.join(map(file_names.printable, parts))
  return file_names.printable(path.name)

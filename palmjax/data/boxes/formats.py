"""Contents of label files, before they are checked against the images.

Each reader (`yolo`, `voc`, `coco`) lists the images of one part of a data set
with what the files say of them, right or wrong; `boxes` checks it against the
images.
"""

import collections
import os
from typing import NamedTuple

SPLITS = ('train', 'valid', 'test')


class Row(NamedTuple):
  """One box of a label file, not yet checked against its image.

  Attributes:
    where: file and line, or what the format has instead.
    label: of the class: its number in YOLO and COCO, its name in VOC.
    box: x0, y0, x1, y1.
  """

  where: str
  label: int | str
  box: tuple[float, ...]


class Listed(NamedTuple):
  """One image of a data set with its boxes, as its files list them.

  Attributes:
    path: of the image, relative to DIR, with '/'.
    rows: its boxes.
    size: (width, height) in which the boxes are; () for relative ones, None
      where the files do not tell, and the image's own counts.
  """

  path: str
  rows: list[Row]
  size: tuple[float, float] | tuple[()] | None


class BoxSource(NamedTuple):
  """Images, boxes and problems of one part of a data set.

  Attributes:
    images: in the order of the files.
    names: of the classes, {label: name}.
    problems: what could not be read, each with its place.
    left_out: boxes marked as difficult or as a crowd.
    notes: lines on how the files were read.
  """

  images: list[Listed]
  names: dict[int | str, str]
  problems: list[str]
  left_out: int
  notes: tuple[str, ...] = ()


def read_text(path):
  """Reads a text file; bytes that are not UTF-8 as in names of files."""
  # Editors of one system begin files with a mark of their encoding.
  return path.read_text(encoding='utf-8-sig', errors='surrogateescape')


def names_in(folder):
  """Sorted names of what lies in a folder; none where there is no folder."""
  try:
    return sorted(os.listdir(folder))
  except (FileNotFoundError, NotADirectoryError):
    return []


def repeated(values):
  """The values that stand more than once, each once, in their order."""
  return [value for value, n in collections.Counter(values).items() if n > 1]


def to_size(width, height):
  """(width, height) as numbers; None where one is missing, odd or 0."""
  try:
    size = float(width), float(height)
  except (TypeError, ValueError):
    return None
  return size if min(size) > 0 else None

"""Where YOLO data sets keep their boxes: Ultralytics' and Roboflow's layouts.

data.yaml tells the names of the classes and, with `train`, `val`, `test` and
`path`, where the images are: a folder, which is searched to the bottom, a list
of images (.txt), or several of them. Where it tells none, or something that is
not there, DIR/train/images and DIR/images/train are looked for. The labels of
an image lie beside it, with `labels` in place of the last `images` in its path.

A line of labels is a box (4 numbers), a box with key points (where data.yaml
has a `kpt_shape`), or a polygon (6 numbers or more), of which the box around it
is taken.
"""

import os
import pathlib
import posixpath
from typing import NamedTuple

from palmjax.data.boxes import data_yaml, formats, lookup
from palmjax.data.sets.builders import layout
from palmjax.images import image_tree

TREE = """\
DIR/data.yaml                names: ['one', 'two', …]
DIR/train/images/NAME.jpg    also DIR/images/train; valid or val; test
DIR/train/labels/NAME.txt    a line each box: class cx cy w h, relative"""
# Of a relative place, over the border of the image.
_ROUNDING = 0.01


def read_yolo(directory, split) -> formats.BoxSource:
  """The images and boxes of one part, as label files tell them."""
  directory = pathlib.Path(directory)
  files = lookup.Lookup(directory)
  path = files.find('data.yaml') or files.find('data.yml')
  if path is None:
    raise layout.LayoutError(f'{directory} has no data.yaml', TREE)
  description = data_yaml.read(directory / path)
  part = _find_images(directory, split, description)
  problems, notes = list(part.problems), list(part.notes)
  owners, images, polygons = {}, [], 0
  wanted_by = {image: _label_of(image) for image in part.images}
  every = set(wanted_by.values())
  for image, wanted in wanted_by.items():
    label = files.find(wanted)
    # Labels that are spelled alike may be those of another image.
    if label is None or (label != wanted and label in every):
      problems.append(f'{wanted}: missing, {image} is taken to show nothing')
      images.append(formats.Listed(image, [], ()))
      continue
    if label in owners:
      problems.append(
        f'{label}: of two images, {owners[label]} and {image}; the second is '
        'left out'
      )
      continue
    owners[label] = image
    rows, wrong, count = _rows(directory, label, description.keypoints)
    problems += wrong
    polygons += count
    images.append(formats.Listed(image, rows, ()))
  if part.are_all:
    problems += _orphans(directory, [*part.images, *part.unread], owners)
  if polygons:
    notes.append(f'{polygons} polygons are read as the boxes around them')
  return formats.BoxSource(images, description.names, problems, 0, tuple(notes))


class _Found(NamedTuple):
  """Images of one part: paths relative to DIR, with '/'.

  Attributes:
    images: each once.
    unread: files and folders that are left out.
    are_all: whether these are all images of their folders.
    problems: a line for each of `unread`.
    notes: lines for the log.
  """

  images: list[str]
  unread: list[str]
  are_all: bool
  problems: list[str]
  notes: list[str]


def _find_images(directory, split, description):
  places, notes = _find_places(directory, split, description)
  paths, unread, problems = [], [], []
  for place in places:
    if (directory / place).is_dir():
      tree = image_tree.find(directory / place)
      paths += [posixpath.join(place, name) for name in tree.images]
      unread += [posixpath.join(place, name) for name in tree.left_out]
      problems += [f'{place}/{line}' for line in tree.lines()]
    else:
      paths += _listed(directory, place, description.root)
  images = list(dict.fromkeys(map(posixpath.normpath, paths)))
  if len(images) < len(paths):
    notes.append(f'{len(paths) - len(images)} images of {split} are told twice')
  if not images:
    text = f'{directory / places[0]} has no image'
    raise layout.LayoutError('; '.join([text, *problems[:1]]), TREE)
  are_all = all((directory / place).is_dir() for place in places)
  return _Found(images, unread, are_all, problems, notes)


def _find_places(directory, split, description):
  """(folders and lists of images, relative to DIR; notes) of one part."""
  aliases = ('valid', 'val') if split == 'valid' else (split,)
  usual = [f'{a}/images' for a in aliases] + [f'images/{a}' for a in aliases]
  key = next((k for k in reversed(aliases) if description.places.get(k)), None)
  entries, notes = description.places.get(key, ()), []
  places = [_place(directory, description.root, entry) for entry in entries]
  if places and None not in places:
    if not set(places) <= set(usual):
      notes.append(f'{split} images are read from {", ".join(places)}')
    return places, notes
  there = [choice for choice in usual if (directory / choice).is_dir()]
  gone = [e for e, place in zip(entries, places, strict=True) if not place]
  text = f'{key}: {gone[0]} of data.yaml is not there' if gone else ''
  if not there:
    line = f'{directory} has no folder {usual[0]}'
    raise layout.LayoutError(f'{line}; {text}' if text else line, TREE)
  return there[:1], [f'{text}; {there[0]} is read'] if text else []


def _place(directory, root, entry):
  """An entry of data.yaml as a path relative to DIR; None if it is gone."""
  entry = entry.replace('\\', '/')
  # Roboflow writes '../train/images' for what lies in DIR/train/images.
  inside = entry
  while inside.startswith('../'):
    inside = inside.removeprefix('../')
  for name in dict.fromkeys((entry, inside)):
    for base in (directory / root, directory):
      path = _relative(os.path.normpath(base / name), directory)
      place = lookup.Lookup(directory).find(path, is_right=_is_place)
      if place is not None:
        return place
  return None


def _is_place(path):
  is_list = path.lower().endswith('.txt') and os.path.isfile(path)
  return is_list or os.path.isdir(path)


def _relative(path, directory):
  return pathlib.Path(os.path.relpath(path, directory)).as_posix()


def _listed(directory, place, root):
  """Images that a .txt file names, relative to it or to DIR."""
  paths = []
  for line in formats.read_text(directory / place).splitlines():
    name = line.strip().replace('\\', '/')
    if name:
      bases = ((directory / place).parent, directory / root, directory)
      choices = [os.path.normpath(base / name) for base in bases]
      path = next(filter(os.path.isfile, choices), choices[0])
      paths.append(_relative(path, directory))
  return paths


def _label_of(image):
  """Path of the labels of an image."""
  folders = posixpath.dirname(image).split('/')
  for k in reversed(range(len(folders))):
    if folders[k] == 'images':
      folders[k] = 'labels'
      break
  stem = posixpath.splitext(posixpath.basename(image))[0]
  return posixpath.join(*folders, f'{stem}.txt')


def _orphans(directory, paths, owners):
  """A line for each label file that has no image among `paths`."""
  known = {*owners, *map(_label_of, paths)}
  labels = {posixpath.dirname(_label_of(path)) for path in paths}
  images = {posixpath.dirname(path) for path in paths}
  lines = []
  for folder in sorted(labels - images):
    for name in sorted(formats.names_in(directory / folder)):
      path = posixpath.join(folder, name)
      is_label = name.lower().endswith('.txt') and name != 'classes.txt'
      if is_label and path not in known:
        lines.append(f'{path}: there is no image of this name')
  return lines


def _rows(directory, label, keypoints):
  """(rows, problems, number of polygons) of a label file."""
  rows, problems, polygons = [], [], 0
  lines = formats.read_text(directory / label).splitlines()
  for number, line in enumerate(lines, 1):
    if not line.strip():
      continue
    where, words = f'{label}:{number}', line.split()
    try:
      rows.append(formats.Row(where, *_box(words, keypoints)))
    except ValueError as error:
      problems.append(f'{where}: {line.strip()[:40]!r} is no box{error}')
    else:
      polygons += len(words) > 5 and keypoints is None
  return rows, problems, polygons


def _box(words, keypoints):
  """(class, box); raises ValueError, what to do in its text, if it is none."""
  try:
    label, *values = map(float, words)
    number = int(label)
  except (OverflowError, ValueError):
    raise ValueError from None
  if number != label:
    raise ValueError
  count, dims = keypoints or (0, 0)
  if len(values) == 4 or (count and len(values) == 4 + count * dims):
    x, y, w, h = values[:4]
    return number, (x - w / 2, y - h / 2, x + w / 2, y + h / 2)
  if count:
    raise ValueError(f' with {count} key points of {dims} numbers')
  if len(values) < 6 or len(values) % 2:
    raise ValueError
  if not all(-_ROUNDING <= value <= 1 + _ROUNDING for value in values):
    # Key points have a third number of 2 for what is seen.
    raise ValueError(
      ' and no polygon in 0 to 1; key points need a kpt_shape in data.yaml'
    )
  x, y = values[::2], values[1::2]
  return number, (min(x), min(y), max(x), max(y))

"""Where COCO data sets keep their boxes: COCO's own layout and Roboflow's."""

import json
import pathlib
import posixpath
import urllib.parse
from typing import NamedTuple

from palmjax.data.boxes import formats, lookup
from palmjax.data.sets.builders import layout
from palmjax.images import image_file, image_tree

TREE = """\
DIR/annotations/instances_train*.json    instances_val*.json
DIR/train*/NAME.jpg                      also DIR/images/train*, DIR/images
or, as Roboflow has it, valid and test alike
DIR/train/_annotations.coco.json
DIR/train/NAME.jpg"""


def read_coco(directory, split) -> formats.BoxSource:
  """COCO's own layout and Roboflow's; crowds are left out.

  Classes are the categories by id. Roboflow's extra category, which is but the
  parent of the others, is none.

  Images of one id or of one file are left out, as nobody knows whose boxes
  theirs are. Images that are told twice in the same words are read once.
  """
  directory = pathlib.Path(directory)
  path, below = _coco_file(directory, split)
  place = path.relative_to(directory).as_posix()
  try:
    values = json.loads(path.read_text(encoding='utf-8-sig'))
    listed = [
      _Image(
        image['id'],
        str(image['file_name']),
        formats.to_size(image.get('width'), image.get('height')),
      )
      for image in values['images']
    ]
    ids = _Ids([image.id for image in listed])
    categories = sorted(values['categories'], key=lambda c: c['id'])
    classes = _Ids([category['id'] for category in categories])
    names = {category['id']: str(category['name']) for category in categories}
    annotations = [dict(annotation) for annotation in values['annotations']]
  except (KeyError, TypeError, ValueError, RecursionError) as error:
    raise ValueError(
      f'{path} is no COCO file of instances: {type(error).__name__} {error}'
    ) from error
  if not listed:
    raise ValueError(f'{path} lists no image')
  if len(names) < len(categories):
    twice = formats.repeated(category['id'] for category in categories)
    raise ValueError(f'{path}: two categories have the id {twice[0]!r}')
  # A list, as a parent may be of any type.
  parents = [category.get('supercategory') for category in categories]
  for category in categories:
    if category.get('supercategory') == 'none' and category['name'] in parents:
      del names[category['id']]

  images, problems = _unique(place, listed)
  rows, left_out = {image.id: [] for image in images}, 0
  for annotation in annotations:
    where = f'{place}: annotation {annotation.get("id")}'
    if annotation.get('iscrowd'):
      left_out += 1
      continue
    try:
      x, y, w, h = map(float, annotation['bbox'])
      category = classes.find(annotation['category_id'])
      row = formats.Row(where, category, (x, y, x + w, y + h))
      image = ids.find(annotation['image_id'])
    except (KeyError, TypeError, ValueError):
      problems.append(f'{where}: box, class or image is missing or none')
      continue
    if image not in ids.known:
      problems.append(f'{where}: there is no image {image!r}')
    elif image in rows:
      rows[image].append(row)
    else:
      problems.append(f'{where}: of image {image!r}, which is left out')

  files, wrong = _locate(directory, path, below, images)
  return formats.BoxSource(
    [
      formats.Listed(files[image.id], rows[image.id], image.size)
      for image in images
      if image.id in files
    ],
    names,
    problems + wrong,
    left_out,
  )


class _Image(NamedTuple):
  """An image as the file tells it."""

  id: int | str
  file: str
  size: tuple[float, float] | None


class _Ids:
  """Ids, found again by their number where one was written as a text."""

  def __init__(self, ids):
    """Takes all ids; raises TypeError for one that is no id, such as a list."""
    self.known = set(ids)
    numbers = {}
    for value in self.known:
      numbers.setdefault(_number(value), set()).add(value)
    self._numbers = {
      number: min(values)
      for number, values in numbers.items()
      if number is not None and len(values) == 1
    }

  def find(self, value):
    """The id that `value` means; itself if there is none."""
    if value in self.known:
      return value
    return self._numbers.get(_number(value), value)


def _number(value):
  try:
    number = int(value)
    return number if isinstance(value, str) or number == value else None
  except (OverflowError, TypeError, ValueError):
    return None


def _unique(place, listed):
  """(images without those that share an id or a file; a line for each)."""
  problems = []
  once = list(dict.fromkeys(listed))
  problems += [
    f'{place}: image {image.id!r} ({image.file}) stands twice; read once'
    for image in formats.repeated(listed)
  ]
  ids = set(formats.repeated(image.id for image in once))
  names = set(formats.repeated(image.file for image in once))
  kept = []
  for image in once:
    if image.id in ids or image.file in names:
      shared = f'the id {image.id!r}' if image.id in ids else 'the file'
      problems.append(
        f'{place}: {image.file}: several images have {shared}; left out'
      )
    else:
      kept.append(image)
  return kept, problems


def _locate(directory, path, below, images):
  """({id: path of its image, relative to DIR}, problems)."""
  folders = [folder for folder in below if (directory / folder).is_dir()]
  # The other folders hold images of all parts.
  part = [folder for folder in folders if folder not in ('.', 'images')]
  finder, places, sought = _Finder(directory, folders, part), {}, {}
  for image in images:
    place = finder.find(image.file)
    if place is None:
      sought[image.id] = _posix(image.file)
    else:
      places[image.id] = place
  if images and not places:
    there = [
      f'{folder}/{name}'
      for folder in folders
      for name in formats.names_in(directory / folder)
      if name.lower().endswith(image_file.SUFFIXES)
    ]
    line = f'{directory} has no image of {path.name}'
    line += f': looked for {image.file}, there is {layout.some(there)}'
    raise layout.LayoutError(line, TREE)
  owners, problems = {}, []
  for image in images:
    if image.id in places:
      owners.setdefault(places[image.id], []).append(image)
  for place, several in owners.items():
    if len(several) == 1:
      continue
    # A file belongs to the image that names it as it is, if there is one.
    exact = [
      one for one in several if f'/{place}'.endswith(f'/{_posix(one.file)}')
    ]
    for image in several:
      if len(exact) == 1 and image is not exact[0]:
        sought[image.id] = _posix(image.file)
      elif len(exact) != 1:
        problems.append(
          f'{path.name}: image {image.id!r}: {place} is of several images; '
          'left out'
        )
        del places[image.id]
  for key, name in sought.items():
    # Told as an image that cannot be read.
    places[key] = posixpath.join(folders[0] if folders else below[0], name)
  return places, problems


def _posix(name):
  return name.replace('\\', '/').lstrip('/')


class _Finder:
  """Images by the file names that a COCO file tells."""

  def __init__(self, directory, folders, part):
    """Takes DIR, folders below it, and which of them hold only this part."""
    self._directory, self._folders, self._part = directory, folders, part
    self._files = lookup.Lookup(directory)
    self._below = None

  def find(self, name):
    """The image of a name: below a folder, else by the name's last part."""
    name = name.replace('\\', '/')
    last = name.rpartition('/')[2]
    # Of an address, e.g. '…/?d=five/a%20b.jpg'.
    plain = urllib.parse.unquote(last.rpartition('=')[2])
    for one in dict.fromkeys((name.lstrip('/'), last, plain)):
      for folder in self._folders:
        path = self._files.find(posixpath.join(folder, one))
        if path is not None:
          return path
    if self._below is None:
      self._below = self._list()
    paths = self._below.get(last, ())
    return paths[0] if len(paths) == 1 else None

  def _list(self):
    """{last part: paths} of the images at any depth."""
    below = {}
    for folder in self._part:
      for path in image_tree.find(self._directory / folder).images:
        place = posixpath.join(folder, path)
        below.setdefault(posixpath.basename(path), []).append(place)
    return below


def _coco_file(directory, split):
  """(the json file, folders in which its images may be)."""
  aliases = ('valid', 'val') if split == 'valid' else (split,)
  for name in aliases:
    path = directory / name / '_annotations.coco.json'
    if path.is_file():
      return path, [name]
  part = 'val' if split == 'valid' else split
  paths = sorted((directory / 'annotations').glob(f'instances_{part}*.json'))
  if not paths:
    raise layout.LayoutError(
      f'{directory} has no annotations/instances_{part}*.json', TREE
    )
  if len(paths) > 1:
    raise ValueError(
      f'{paths[0]} and {paths[1].name} are both of {split}; keep one of them'
    )
  name = paths[0].stem.removeprefix('instances_')
  return paths[0], [name, f'images/{name}', 'images', '.']

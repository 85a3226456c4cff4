"""Where YOLO and Pascal VOC data sets keep their boxes (COCO: `box_coco`).

Each reader lists the images of one part of a data set with what the files say
of them, right or wrong; `boxes` checks it against the images.
"""

import os
import re
import xml.etree.ElementTree
from typing import NamedTuple

from palmjax.data.sets.builders import layout
from palmjax.images import image_file

SPLITS = ('train', 'valid', 'test')

YOLO = """\
DIR/data.yaml                names: ['one', 'two', …]
DIR/train/images/NAME.jpg    also DIR/images/train; valid or val; test
DIR/train/labels/NAME.txt    a line each box: class cx cy w h, relative"""
VOC = """\
DIR/JPEGImages/NAME.jpg
DIR/Annotations/NAME.xml
DIR/ImageSets/Main/train.txt    a NAME each line; val.txt, test.txt"""


class Row(NamedTuple):
  """One box as a file tells it.

  Attributes:
    where: file and line, or what the format has instead.
    label: of the class: its number in YOLO and COCO, its name in VOC.
    box: x0, y0, x1, y1.
  """

  where: str
  label: int | str
  box: tuple[float, ...]


class Listed(NamedTuple):
  """One image of the data set.

  Attributes:
    path: of the image, relative to DIR, with '/'.
    rows: its boxes.
    size: (width, height) in which the boxes are; () for relative ones, None
      where the files do not tell, and the image's own counts.
  """

  path: str
  rows: list[Row]
  size: tuple[float, float] | tuple[()] | None


class Source(NamedTuple):
  """What one part of a data set holds.

  Attributes:
    images: in the order of the files.
    names: of the classes, {label: name}.
    problems: what could not be read, each with its place.
    left_out: boxes marked as difficult or as a crowd.
  """

  images: list[Listed]
  names: dict[int | str, str]
  problems: list[str]
  left_out: int


def read_yolo(directory, split) -> Source:
  """Ultralytics' and Roboflow's layout; polygons become their boxes."""
  names = _yaml_names(directory / 'data.yaml')
  aliases = ('valid', 'val') if split == 'valid' else (split,)
  choices = [f'{a}/images' for a in aliases] + [f'images/{a}' for a in aliases]
  found = [c for c in choices if (directory / c).is_dir()]
  if not found:
    raise layout.LayoutError(f'{directory} has no folder {choices[0]}', YOLO)
  images, problems = [], []
  for name in sorted(os.listdir(directory / found[0])):
    if name.startswith('.') or not name.lower().endswith(image_file.SUFFIXES):
      continue
    path = f'{found[0]}/{name}'
    label = os.path.splitext(path.replace('images/', 'labels/', 1))[0] + '.txt'
    rows = []
    try:
      lines = _read_text(directory / label).splitlines()
    except FileNotFoundError:
      lines = []
      problems.append(f'{label}: missing, {path} is taken to show nothing')
    for number, line in enumerate(lines, 1):
      if line.strip():
        try:
          rows.append(_yolo_row(f'{label}:{number}', line.split()))
        except ValueError:
          problems.append(f'{label}:{number}: {line.strip()[:40]!r} is no box')
    images.append(Listed(path, rows, ()))
  if not images:
    raise layout.LayoutError(f'{directory / found[0]} has no image', YOLO)
  return Source(images, names, problems, 0)


def _yolo_row(where, words):
  """Raises ValueError unless the words are a box or a polygon."""
  label, values = float(words[0]), [float(word) for word in words[1:]]
  if not label.is_integer():
    raise ValueError
  if len(values) == 4:
    x, y, w, h = values
    box = (x - w / 2, y - h / 2, x + w / 2, y + h / 2)
  elif len(values) >= 6 and len(values) % 2 == 0:
    x, y = values[::2], values[1::2]
    box = (min(x), min(y), max(x), max(y))
  else:
    raise ValueError
  return Row(where, int(label), box)


def _yaml_names(path):
  """The `names` of a data.yaml, {number: name}.

  Of YAML no more than such files use: a list or a mapping, in brackets or with
  an entry each line.
  """
  if not path.is_file():
    raise layout.LayoutError(f'{path.parent} has no data.yaml', YOLO)
  text = _read_text(path) + '\n'
  flow = re.search(r'^names:\s*[\[{](.*?)[\]}]', text, re.M | re.S)
  # Up to the next key, which starts its line.
  lines = re.search(r'^names:[ \t]*(?:#.*)?\n((?:(?!\w).*\n)*)', text, re.M)
  entries = []
  if flow:
    entries = re.findall(r"""(?:'[^']*'|"[^"]*"|[^,'"])+""", flow[1])
  elif lines:
    entries = [re.sub(r'^\s*-\s', '', x) for x in lines[1].splitlines()]
  names = {}
  for entry in entries:
    entry = re.sub(r'(^|\s)#.*', '', entry).strip()
    if entry:
      number, name = re.fullmatch(r'(?:(\d+)\s*:\s)?(.*)', entry, re.S).groups()
      names[len(names) if number is None else int(number)] = name.strip('\'" ')
  if not names or not all(names.values()):
    raise ValueError(
      f"{path}: no class names; write them as names: ['one', 'two']"
    )
  return names


def read_voc(directory, split) -> Source:
  """Pascal VOC, whose corner pixels, counted from 1, belong to the box.

  Classes are those of all files in Annotations, by name.
  """
  part = 'val' if split == 'valid' else split
  listing = directory / 'ImageSets' / 'Main' / f'{part}.txt'
  for place in (listing, directory / 'JPEGImages', directory / 'Annotations'):
    if not place.exists():
      raise layout.LayoutError(f'there is no {place}', VOC)
  names, trees, reasons = set(), {}, {}
  for path in sorted((directory / 'Annotations').glob('*.xml')):
    try:
      tree = xml.etree.ElementTree.parse(path).getroot()
    # The last two of an encoding that nobody or not this parser knows.
    except (xml.etree.ElementTree.ParseError, LookupError, ValueError) as error:
      reasons[path.stem] = str(error)
      continue
    names |= {_voc_name(thing) for thing in tree.iter('object')} - {''}
    trees[path.stem] = tree

  images, problems, left_out = [], [], 0
  for line in _read_text(listing).splitlines():
    if not line.strip():
      continue
    name = line.split()[0]
    file = f'Annotations/{name}.xml'
    if name not in trees:
      problems.append(f'{file}: {reasons.get(name, "missing")}')
      continue
    rows = []
    for number, thing in enumerate(trees[name].iter('object'), 1):
      if (thing.findtext('difficult') or '0').strip() == '1':
        left_out += 1
        continue
      where = f'{file}: object {number}'
      ends = [thing.findtext(f'bndbox/{k}') for k in ('xmin', 'ymin')]
      ends += [thing.findtext(f'bndbox/{k}') for k in ('xmax', 'ymax')]
      try:
        x0, y0, x1, y1 = map(float, ends)
      except (TypeError, ValueError):
        problems.append(f'{where}: {ends} is no box')
        continue
      rows.append(Row(where, _voc_name(thing), (x0 - 1, y0 - 1, x1, y1)))
    size = [trees[name].findtext(f'size/{k}') for k in ('width', 'height')]
    images.append(Listed(_voc_image(directory, name), rows, to_size(*size)))
  return Source(images, {n: n for n in sorted(names)}, problems, left_out)


def _voc_name(thing):
  """The class of an object; '' where it has none."""
  return (thing.findtext('name') or '').strip()


def _read_text(path):
  """What a file says; what is no UTF-8 fails where it is understood."""
  # Editors of one system begin files with a mark of their encoding.
  return path.read_text(encoding='utf-8-sig', errors='replace')


def _voc_image(directory, name):
  for suffix in ('.jpg', *image_file.SUFFIXES):
    if (directory / 'JPEGImages' / f'{name}{suffix}').is_file():
      return f'JPEGImages/{name}{suffix}'
  return f'JPEGImages/{name}.jpg'


def to_size(width, height):
  """(width, height) as numbers; None where one is missing, odd or 0."""
  try:
    size = float(width), float(height)
  except (TypeError, ValueError):
    return None
  return size if min(size) > 0 else None

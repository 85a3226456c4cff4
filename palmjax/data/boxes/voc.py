"""Where Pascal VOC data sets keep their boxes."""

import pathlib
import posixpath
import re
import xml.etree.ElementTree

from palmjax.data.boxes import formats, lookup
from palmjax.data.sets.builders import layout
from palmjax.images import image_file

TREE = """\
DIR/JPEGImages/NAME.jpg
DIR/Annotations/NAME.xml
DIR/ImageSets/Main/train.txt    a NAME each line; val.txt, test.txt"""


def read_voc(directory, split) -> formats.BoxSource:
  """Pascal VOC, whose corner pixels, counted from 1, belong to the box.

  Classes are those of all files in Annotations, by name.
  """
  directory = pathlib.Path(directory)
  part = 'val' if split == 'valid' else split
  listing = directory / 'ImageSets' / 'Main' / f'{part}.txt'
  for place in (listing, directory / 'JPEGImages', directory / 'Annotations'):
    if not place.exists():
      raise layout.LayoutError(f'there is no {place}', TREE)
  names, trees, reasons = set(), {}, {}
  for path in _xml_files(directory):
    try:
      tree = xml.etree.ElementTree.parse(directory / path).getroot()
    # The last two of an encoding that nobody or not this parser knows.
    except (xml.etree.ElementTree.ParseError, LookupError, ValueError) as error:
      reasons[path] = str(error)
      continue
    names |= {_name(thing) for thing in tree.iter('object')} - {''}
    trees[path] = tree

  files, images, problems, left_out = lookup.Lookup(directory), {}, [], 0
  for line in formats.read_text(listing).splitlines():
    if not line.strip():
      continue
    name = _listed_name(line, files)
    path = files.find(f'Annotations/{name}.xml')
    if path not in trees:
      path = path or f'Annotations/{name}.xml'
      problems.append(f'{path}: {reasons.get(path, "missing")}')
      continue
    image, notes = _image(files, name, trees[path])
    if image in images:
      problems.append(
        f'{listing.name}: {name}: {image} stands twice; read once'
      )
      continue
    problems += notes
    rows, wrong, difficult = _rows(path, trees[path])
    problems += wrong
    left_out += difficult
    size = [trees[path].findtext(f'size/{k}') for k in ('width', 'height')]
    images[image] = formats.Listed(image, rows, formats.to_size(*size))
  return formats.BoxSource(
    list(images.values()), {n: n for n in sorted(names)}, problems, left_out
  )


def _xml_files(directory):
  """Paths of all XML files in Annotations and below, sorted."""
  return sorted(
    path.relative_to(directory).as_posix()
    for path in (directory / 'Annotations').rglob('*')
    if path.suffix.lower() == '.xml'
  )


def _listed_name(line, files):
  """The NAME of a line; the lists of a class have a flag behind it."""
  name = line.strip()
  if files.find(f'Annotations/{name}.xml') is None:
    name = re.sub(r'\s+(-1|0|1)$', '', name)
  return name


def _image(files, name, tree):
  """(path of the image of a NAME, a line if there are several) as a list."""
  path = f'JPEGImages/{name}'
  candidates = files.images(path, image_file.SUFFIXES)
  if not candidates:
    # One of another kind is told as an image that cannot be read.
    candidates = files.images(path, image_file.OTHER_SUFFIXES)
    return next(iter(candidates), f'{path}.jpg'), []
  file_name = (tree.findtext('filename') or '').strip()
  best = next(
    (one for one in candidates if posixpath.basename(one) == file_name),
    next(
      (one for one in candidates if one.lower().endswith('.jpg')), candidates[0]
    ),
  )
  if len(candidates) == 1:
    return best, []
  return best, [f'{path}: {best} is read, of {", ".join(candidates)}']


def _rows(path, tree):
  """(rows, problems, number of difficult boxes) of an XML file."""
  rows, problems, difficult = [], [], 0
  for number, thing in enumerate(tree.iter('object'), 1):
    if (thing.findtext('difficult') or '0').strip() == '1':
      difficult += 1
      continue
    where = f'{path}: object {number}'
    ends = [
      thing.findtext(f'bndbox/{k}') for k in ('xmin', 'ymin', 'xmax', 'ymax')
    ]
    try:
      x0, y0, x1, y1 = map(float, ends)
    except (TypeError, ValueError):
      problems.append(f'{where}: {ends} is no box')
      continue
    rows.append(formats.Row(where, _name(thing), (x0 - 1, y0 - 1, x1, y1)))
  return rows, problems, difficult


def _name(thing):
  """The class of an object; '' where it has none."""
  return (thing.findtext('name') or '').strip()

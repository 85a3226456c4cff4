"""Images with boxes: YOLO, Pascal VOC and COCO data sets, read and checked.

Boxes are x0, y0, x1, y1 in pixels of the image once it is upright. Every image
is turned upright by its EXIF tag, and boxes are taken as they lie in the image
that is shown (`placed`), in all formats alike. Images of another size than
VOC's and COCO's files tell are left out.

What is wrong with a box is told with its file and line. `bad='clip'` cuts a box
that is partly outside the image and leaves out what is no box (empty, inverted,
not finite, outside, of an unknown class, told twice); an image without its
label file shows nothing, as Ultralytics has it. Images that cannot be told
apart are left out. `bad='refuse'` stops instead. A box may reach one pixel over
the border, which is rounding, and is cut silently.
"""

import concurrent.futures
import os
import pathlib
from typing import NamedTuple

import numpy as np
from absl import logging

from palmjax import file_names
from palmjax.data.boxes import coco, formats, placed, voc, yolo
from palmjax.data.sets import folder
from palmjax.data.sets.builders import layout
from palmjax.images import image_file, letterbox

# Of an annotated image, in memory.
ARRAYS = (
  'image',
  'boxes',
  'classes',
  'valid',
  'points',
  'framed',
  'facing',
)
FORMS = {
  'yolo': yolo.read_yolo,
  'voc': voc.read_voc,
  'coco': coco.read_coco,
}
# Bad boxes that are named in the log; the result names them all.
_LOGGED = 20


class Annotation(NamedTuple):
  """One image with its boxes.

  Attributes:
    path: of the image.
    boxes: float32 [n, 4], x0, y0, x1, y1 in pixels of the upright image.
    classes: int32 [n], in 0..K-1.
    id: unique and stable: the path relative to the folder, with '/', and with
      escapes for what cannot be printed.
  """

  path: str
  boxes: np.ndarray
  classes: np.ndarray
  id: str


class Annotations(NamedTuple):
  """One part of a data set.

  Attributes:
    images: in the order of the files.
    names: K class names.
    skipped: ids of the images that could not be read.
    problems: what was wrong with boxes, each with its file and line.
  """

  images: tuple[Annotation, ...]
  names: tuple[str, ...]
  skipped: tuple[str, ...]
  problems: tuple[str, ...]


class Loaded(NamedTuple):
  """Annotated images in memory, all of one size.

  Attributes:
    arrays: image uint8 [N, S, S, 3]; boxes float32 [N, M, 4] in pixels of
      `image`; classes int32, valid, framed and facing bool, each [N, M];
      points float32 [N, M, 3, 2]. No palm frame is known: framed is False.
    ids: N names, as in `Annotation`.
    skipped: ids of the images that could not be decoded.
  """

  arrays: dict[str, np.ndarray]
  ids: tuple[str, ...]
  skipped: tuple[str, ...]


def read(directory, *, form, split, names=None, bad='clip') -> Annotations:
  """Reads what the files of a data set say of its images.

  Boxes marked as difficult (VOC) or as a crowd (COCO) are left out with a count
  in the log.

  Args:
    directory: DIR in the layout of `yolo.TREE`, `voc.TREE` or `coco.TREE`.
    form: 'yolo', 'voc' or 'coco'.
    split: 'train', 'valid' or 'test'.
    names: the classes and their order; boxes of others are bad. By default
      those of the data set, which in COCO are those of this part's own file.
    bad: 'clip' or 'refuse' (module docstring).

  Raises:
    FileNotFoundError, NotADirectoryError: there is no such folder.
    ValueError: another layout, with the expected one in the message; no box;
      bad boxes where these are refused; or more than `folder.MAX_SKIPPED` of
      the images unreadable.
  """
  for name, value, choices in (
    ('form', form, tuple(FORMS)),
    ('split', split, formats.SPLITS),
    ('bad', bad, ('clip', 'refuse')),
  ):
    if value not in choices:
      raise ValueError(f'{name}={value!r}: choose one of {list(choices)}')
  layout.require_folder(directory)
  directory = pathlib.Path(directory)
  source = FORMS[form](directory, split)
  class_names = tuple(source.names.values())
  if twice := formats.repeated(class_names):
    raise ValueError(f'two classes of {directory} have one name: {twice[0]}')
  names = class_names if names is None else tuple(names)
  if twice := formats.repeated(names):
    raise ValueError(f'two classes of {names} have one name: {twice[0]}')
  label = {k: names.index(v) for k, v in source.names.items() if v in names}

  sizes = _in_threads(
    _read_size, [directory / image.path for image in source.images]
  )
  images, skipped, problems, turns = [], [], list(source.problems), 0
  for listed, size in zip(source.images, sizes, strict=True):
    name = file_names.printable(listed.path)
    if isinstance(size, str):
      logging.warning('skipped %s: %s', directory / name, size)
      skipped.append(name)
      continue
    boxes, classes, wrong = placed.place(listed, *size, label)
    problems += wrong
    if boxes is not None:
      path = os.fspath(directory / listed.path)
      images.append(Annotation(path, boxes, classes, name))
      turns += size[1] > 1
  problems = tuple(map(file_names.printable, problems))
  _report(directory, problems, bad)
  notes = list(source.notes)
  if source.left_out:
    notes.append(f'left out {source.left_out} difficult boxes and crowds')
  if turns:
    notes.append(
      f'turned {turns} images upright by their EXIF tags; boxes are taken as '
      'they lie in the image that is shown'
    )
  for note in notes:
    logging.info('%s: %s', directory, file_names.printable(note))
  _stop_if_many(skipped, source.images, directory)
  if not sum(len(image.boxes) for image in images):
    raise ValueError(
      f'{directory}: no box of {layout.some(names)} in the {split} images'
      + (f' ({len(problems)} problems: {problems[0]})' if problems else '')
    )
  return Annotations(tuple(images), names, tuple(skipped), problems)


def load(annotations, *, size) -> Loaded:
  """Decodes annotated images into arrays.

  Every image is fitted into a square by `letterbox`.

  Args:
    annotations: from `read`.
    size: S, side of the images in pixels.

  Raises:
    ValueError: more than `folder.MAX_SKIPPED` of the images cannot be decoded.
  """
  images = annotations.images
  most = max(len(image.boxes) for image in images)
  decoded = _in_threads(
    lambda path: letterbox.decode(path, size=size),
    [image.path for image in images],
  )
  skipped = []
  for image, result in zip(images, decoded, strict=True):
    if isinstance(result, str):
      logging.warning('skipped %s: %s', image.id, result)
      skipped.append(image.id)
  _stop_if_many(skipped, images, os.path.dirname(images[0].path))
  kept = [i for i, result in enumerate(decoded) if not isinstance(result, str)]

  count = len(kept)
  arrays = {
    'image': np.stack([decoded[i].image for i in kept]),
    'boxes': np.zeros((count, most, 4), np.float32),
    'classes': np.zeros((count, most), np.int32),
    'valid': np.zeros((count, most), bool),
    'points': np.zeros((count, most, 3, 2), np.float32),
    'framed': np.zeros((count, most), bool),
    'facing': np.zeros((count, most), bool),
  }
  for row, i in enumerate(kept):
    number = len(images[i].boxes)
    corners = decoded[i].place(images[i].boxes.reshape(-1, 2, 2))
    arrays['boxes'][row, :number] = corners.reshape(-1, 4)
    arrays['classes'][row, :number] = images[i].classes
    arrays['valid'][row, :number] = True
  return Loaded(arrays, tuple(images[i].id for i in kept), tuple(skipped))


def _report(directory, problems, bad):
  """Logs bad boxes, or raises ValueError where they are refused."""
  if problems and bad == 'refuse':
    raise ValueError(
      f'{len(problems)} bad boxes in {directory}: {layout.some(problems)}; '
      "repair them, or clip and drop them with bad='clip'"
    )
  for problem in problems[:_LOGGED]:
    logging.warning('%s', problem)
  if problems:
    logging.warning('%d bad boxes in %s', len(problems), directory)


def _stop_if_many(skipped, images, directory):
  if len(skipped) > folder.MAX_SKIPPED * len(images):
    raise ValueError(
      f'{len(skipped)} of {len(images)} images in {directory} cannot be read '
      f'(more than {folder.MAX_SKIPPED:.0%}): {layout.some(skipped)}; '
      'repair or remove them'
    )


def _in_threads(read_one, paths):
  """Results of all paths; one line that says why where there is none."""

  # Pillow lets go of the interpreter lock while it decodes and resizes.
  with concurrent.futures.ThreadPoolExecutor(
    min(8, os.cpu_count() or 1)
  ) as pool:
    return list(
      pool.map(lambda path: image_file.attempt(read_one, path), paths)
    )


def _read_size(path):
  """((width, height) as stored, EXIF orientation)."""
  with image_file.opened(path) as image:
    return image.size, image_file.orientation(image)

"""Images with boxes: YOLO, Pascal VOC and COCO data sets, read and checked.

Boxes are x0, y0, x1, y1 in pixels of the image as it is stored: no image is
turned by its EXIF tag, since what a labelling tool wrote is not known to follow
it. Where the files tell the size in which the boxes are, as VOC and COCO do,
another size of the image gives a turned image away.

What is wrong with a box is told with its file and line. `bad='clip'` cuts a box
that is partly outside the image and leaves out what is no box (empty, inverted,
not finite, outside, of an unknown class); an image without its label file shows
nothing, as Ultralytics has it. `bad='refuse'` stops instead. A box may reach
one pixel over the border, which is rounding, and is cut silently.
"""

import concurrent.futures
import os
import pathlib
from typing import NamedTuple

import numpy as np
from absl import logging

from palmjax.data.boxes import coco, formats
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
  'yolo': formats.read_yolo,
  'voc': formats.read_voc,
  'coco': coco.read_coco,
}
# Over the border of the image, in pixels.
_ROUNDING = 1.0
# Bad boxes that are named in the log; the result names them all.
_LOGGED = 20


class Annotation(NamedTuple):
  """One image with its boxes.

  Attributes:
    path: of the image.
    boxes: float32 [n, 4], x0, y0, x1, y1 in pixels of the image as stored.
    classes: int32 [n], in 0..K-1.
    id: unique and stable: the path relative to the folder, with '/'.
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
    directory: DIR in the layout of `box_formats` or `box_coco`.
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
  names = tuple(source.names.values()) if names is None else tuple(names)
  if len(set(names)) < len(names):
    raise ValueError(f'two classes of {directory} have one name: {names}')
  label = {k: names.index(v) for k, v in source.names.items() if v in names}

  found = _in_threads(
    _read_size, [directory / image.path for image in source.images]
  )
  images, skipped, problems = [], [], list(source.problems)
  for listed, size in zip(source.images, found, strict=True):
    if isinstance(size, str):
      logging.warning('skipped %s: %s', directory / listed.path, size)
      skipped.append(listed.path)
      continue
    if listed.size and listed.size != size:
      problems.append(
        '{}: boxes are in {:g} × {:g} pixels, the image is stored as {} × {}; '
        'left out'.format(listed.path, *listed.size, *size)
      )
      continue
    boxes, classes, wrong = _check(listed, size, label)
    problems += wrong
    path = os.fspath(directory / listed.path)
    images.append(Annotation(path, boxes, classes, listed.path))
  _report(directory, problems, bad)
  if source.left_out:
    logging.info(
      'left out %d difficult boxes and crowds of %s', source.left_out, directory
    )
  _stop_if_many(skipped, source.images, directory)
  if not sum(len(image.boxes) for image in images):
    raise ValueError(
      f'{directory}: no box of {layout.some(names)} in the {split} images'
    )
  return Annotations(tuple(images), names, tuple(skipped), tuple(problems))


def load(annotations, *, size, room=None) -> Loaded:
  """Decodes annotated images into arrays.

  Every image is fitted into a square by `letterbox`.

  Args:
    annotations: from `read`.
    size: S, side of the images in pixels.
    room: M, rows for the boxes of an image; by default as many as the image
      with most boxes needs.

  Raises:
    ValueError: an image has more boxes than there is room for, or more than
      `folder.MAX_SKIPPED` of the images cannot be decoded.
  """
  images = annotations.images
  most = max(images, key=lambda image: len(image.boxes))
  room = len(most.boxes) if room is None else room
  if len(most.boxes) > room:
    raise ValueError(
      f'{most.path} has {len(most.boxes)} boxes, there is room for {room}: '
      'make room for as many'
    )
  decoded = _in_threads(
    lambda path: letterbox.decode(path, size=size),
    [image.path for image in images],
  )
  skipped = []
  for image, result in zip(images, decoded, strict=True):
    if isinstance(result, str):
      logging.warning('skipped %s: %s', image.path, result)
      skipped.append(image.id)
  _stop_if_many(skipped, images, os.path.dirname(most.path))
  kept = [i for i, result in enumerate(decoded) if not isinstance(result, str)]

  count = len(kept)
  arrays = {
    'image': np.stack([decoded[i].image for i in kept]),
    'boxes': np.zeros((count, room, 4), np.float32),
    'classes': np.zeros((count, room), np.int32),
    'valid': np.zeros((count, room), bool),
    'points': np.zeros((count, room, 3, 2), np.float32),
    'framed': np.zeros((count, room), bool),
    'facing': np.zeros((count, room), bool),
  }
  for row, i in enumerate(kept):
    number = len(images[i].boxes)
    corners = decoded[i].place(images[i].boxes.reshape(-1, 2, 2))
    arrays['boxes'][row, :number] = corners.reshape(-1, 4)
    arrays['classes'][row, :number] = images[i].classes
    arrays['valid'][row, :number] = True
  return Loaded(arrays, tuple(images[i].id for i in kept), tuple(skipped))


def _check(listed, size, label):
  """(boxes [n, 4], classes [n], what was wrong) of one image of `size`."""
  border = np.array([*size, *size], np.float64)
  boxes, classes, problems = [], [], []
  for row in listed.rows:
    box = np.array(row.box, np.float64) * (border if listed.size == () else 1)
    clipped = np.clip(box, 0, border)
    text = ', '.join(f'{end:.1f}' for end in box)
    if row.label not in label:
      problems.append(f'{row.where}: unknown class {row.label!r}')
    elif not np.isfinite(box).all():
      problems.append(f'{row.where}: box {text} is not finite')
    elif (box[2:] < box[:2]).any():
      problems.append(f'{row.where}: box {text} is inverted')
    elif (box[2:] == box[:2]).any():
      problems.append(f'{row.where}: box {text} is empty')
    elif (clipped[2:] <= clipped[:2]).any():
      problems.append(f'{row.where}: box {text} is outside the image')
    else:
      if np.abs(clipped - box).max() > _ROUNDING:
        problems.append(f'{row.where}: box {text} is partly outside; clipped')
      boxes.append(clipped)
      classes.append(label[row.label])
  return (
    np.array(boxes, np.float32).reshape(-1, 4),
    np.array(classes, np.int32),
    problems,
  )


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
  """(width, height) as stored."""
  with image_file.opened(path) as image:
    return image.size

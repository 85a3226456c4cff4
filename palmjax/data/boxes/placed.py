"""Boxes of one image as label files tell them, placed in the upright image.

Images are turned upright by their EXIF tag, and boxes are taken as they lie in
the image that is shown: labelling tools show it upright. Only where the files
tell the size of the image as it is stored, and the upright one has another,
the boxes are turned with it.
"""

import numpy as np

from palmjax.images import image_file

# Over the border of the image, in pixels.
_ROUNDING = 1.0
# Boxes of one class with ends so close, in pixels, are one box.
_SAME = 0.1


def place(listed, stored, turn, label):
  """Boxes of an image in pixels of it once it is upright.

  Args:
    listed: `formats.Listed`.
    stored: (width, height) of the image as it is stored.
    turn: its EXIF orientation, 1 to 8.
    label: {label of a row: class}.

  Returns:
    (boxes float32 [n, 4], classes int32 [n], problems: a line for each box that
    is clipped or left out). None for the boxes if they are in another size.
  """
  shown = image_file.upright_size(stored, turn)
  if listed.size and listed.size not in (shown, stored):
    problem = (
      '{}: boxes are in {:g} × {:g} pixels, the image is stored as {} × {}; '
      'left out'.format(listed.path, *listed.size, *stored)
    )
    return None, None, [problem]
  by_stored = listed.size and listed.size != shown
  border = np.array([*shown, *shown], np.float64)
  boxes, classes, places, problems = [], [], [], []
  for row in listed.rows:
    box = np.array(row.box, np.float64) * (border if listed.size == () else 1)
    clipped = np.clip(box, 0, border)
    if by_stored:
      clipped = np.clip(box, 0, [*stored, *stored])
    wrong = _wrong(box, clipped)
    text = ', '.join(f'{end:.1f}' for end in box)
    if row.label not in label:
      problems.append(f'{row.where}: unknown class {row.label!r}')
      continue
    if wrong:
      problems.append(f'{row.where}: box {text} is {wrong}')
      continue
    if np.abs(clipped - box).max() > _ROUNDING:
      problems.append(f'{row.where}: box {text} is partly outside; clipped')
    if by_stored:
      clipped = turned(clipped, turn, stored)
    first = next(
      (
        place
        for other, known, place in zip(boxes, classes, places, strict=True)
        if known == label[row.label] and np.abs(other - clipped).max() < _SAME
      ),
      None,
    )
    if first is not None:
      problems.append(f'{row.where}: the same box as {first}; read once')
      continue
    boxes.append(clipped)
    classes.append(label[row.label])
    places.append(row.where)
  return (
    np.array(boxes, np.float32).reshape(-1, 4),
    np.array(classes, np.int32),
    problems,
  )


def _wrong(box, clipped):
  """What is wrong with a box, in words; '' for nothing."""
  if not np.isfinite(box).all():
    return 'not finite'
  if (box[2:] < box[:2]).any():
    return 'inverted'
  if (box[2:] == box[:2]).any():
    return 'empty'
  return 'outside the image' if (clipped[2:] <= clipped[:2]).any() else ''


def turned(box, turn, size):
  """A box of an image as it is stored, in the upright image.

  Args:
    box: float64 [4], x0, y0, x1, y1 in pixels.
    turn: EXIF orientation, 1 to 8.
    size: (width, height) of the image as it is stored.
  """
  (x0, y0, x1, y1), (width, height) = box, size
  if turn in (2, 3, 7, 8):
    x0, x1 = width - x1, width - x0
  if turn in (3, 4, 6, 7):
    y0, y1 = height - y1, height - y0
  return np.array([y0, x0, y1, x1] if turn >= 5 else [x0, y0, x1, y1])

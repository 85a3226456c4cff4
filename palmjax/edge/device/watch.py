"""Captures that come by themselves: files in a folder, or a camera."""

import contextlib
import pathlib
import time

from palmjax.images import image_file
from palmjax.inference import palm_files

_SETTLED = 0.5  # Seconds after its last change that a file counts as whole.


def folder(path, *, pause=0.5, once=False):
  """Yields paths of images as they come into a folder, the oldest first.

  A file is yielded once, when it has not changed for half a second. A file that
  says it will change later does not wait: the clock was set back.

  Args:
    path: of the folder.
    pause: seconds between two looks.
    once: whether to end where nothing new is there.

  Raises:
    ValueError: there is no such folder.
  """
  path = pathlib.Path(path)
  if not path.is_dir():
    raise ValueError(f'there is no folder {path}; make it')
  seen = set()
  while True:
    images = []
    for one in path.iterdir():
      if one.suffix.lower() in image_file.SUFFIXES and one not in seen:
        # It may be gone again.
        with contextlib.suppress(FileNotFoundError):
          images.append((one.stat().st_mtime, one))
    ready = sorted(x for x in images if abs(time.time() - x[0]) >= _SETTLED)
    for _, one in ready:
      seen.add(one)
      yield one
    if once and len(ready) == len(images):
      return
    time.sleep(pause)


def palms(number, size, find=None):
  """Yields palms uint8 [size, size, 3] that a camera sees.

  Args:
    number: of the camera.
    size: side of a palm.
    find: of `finder.load`, where the camera sees whole hands.

  Raises:
    ValueError: as `camera`.
  """
  for picture in camera(number):
    try:
      if find is None:
        yield image_file.square(picture, size=size)
      else:
        yield palm_files.find_palm(find, picture, size=size).image
    except ValueError:
      continue  # Nobody is there.


def camera(number, *, pause=1.0):
  """Yields pictures uint8 [H, W, 3] of a camera, RGB.

  Args:
    number: of the camera.
    pause: seconds between two pictures.

  Raises:
    ValueError: OpenCV is not installed, or there is no such camera.
  """
  try:
    import cv2
  except ImportError as error:
    raise ValueError(
      'a camera needs OpenCV: pip install opencv-python-headless'
    ) from error
  device = cv2.VideoCapture(number)
  try:
    while True:
      good, picture = device.read()
      if not good:
        raise ValueError(f'camera {number} gives no picture; try another')
      yield cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
      time.sleep(pause)
  finally:
    device.release()

"""Palms cut from photographs of open hands: real skin to measure on."""

import pathlib
import sys

import numpy as np

from palmjax.inference import finder, palm_files

# One photograph of each person in the hands of ardamavi's digits: sign 5.
SIGN_5 = '*/5_*.jpg'


def read(folder, *, size, pattern=SIGN_5):
  """Cuts the palms out of photographs; what shows none is named on stderr.

  Args:
    folder: <identity>/<image>.
    size: S, side of a palm.
    pattern: which photographs. One a person is chosen by its name, which a
      gallery cannot do.

  Returns:
    uint8 [N, S, S, 3]; N may be 0.
  """
  find, images = finder.load(), []
  for path in sorted(pathlib.Path(folder).glob(pattern)):
    try:
      images.append(palm_files.read_photo(find, path, size=size).image)
    except ValueError as error:
      print(error, file=sys.stderr)
  return np.array(images, np.uint8).reshape(-1, size, size, 3)

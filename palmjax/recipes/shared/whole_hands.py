"""Refuses a run whose folder holds photos of whole hands, not palms alone."""

from absl import logging

from palmjax import file_names
from palmjax.inference import cut_out, palm_warnings


def check(data, palm_set):
  """Logs one line that names images that may show whole hands.

  A folder alone is looked at: drawn palms are palms, and `palmjax.prepare` cuts
  the images of a set as its docstring says.

  Args:
    data: section of the config.
    palm_set: `folder.Images` or `prepared.PreparedImages` of it.

  Raises:
    ValueError: most of the images seem to show whole hands.
  """
  if data.name != 'folder':
    return
  hands = [
    name
    for name, image in zip(palm_set.ids, palm_set.images, strict=True)
    if cut_out.shows_hand(image)
  ]
  directory = file_names.printable(data.dir)
  line = palm_warnings.whole_hands(
    palm_set.ids,
    hands,
    f'cut the palms out with python -m palmjax.detect {directory} --out=PALMS, '
    'and give --config.data.dir=PALMS',
  )
  if line:
    logging.warning('%s', line)

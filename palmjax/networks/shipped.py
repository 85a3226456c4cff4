"""The weights that come with the package."""

import pathlib

from palmjax.networks import export as exports

_WEIGHTS = pathlib.Path(__file__).parents[1] / 'weights'

# Trained on drawn palms only: nobody's palm.
PALM = _WEIGHTS / 'mobilefacenet'
# Trained on drawn hands, and on the photographs that its README names.
HAND = _WEIGHTS / 'hand_detector'
# Trained on drawn hands alone.
PALM_FRAME = _WEIGHTS / 'frame_reader'


def folder(directory, shipped, *, config):
  """Returns the given export folder, or the shipped weights by default.

  Args:
    directory: path, or None for `shipped`.
    shipped: path of weights of the package.
    config: which trains others, for the error.

  Returns:
    The path.

  Raises:
    FileNotFoundError: it is that of the package, which has none.
  """
  directory = pathlib.Path(shipped if directory is None else directory)
  if directory == shipped and not directory.is_dir():
    raise FileNotFoundError(
      f'{shipped} holds no weights: install palmjax again, or train networks '
      f'(python -m palmjax.main --config={config} --workdir=DIR) and give the '
      'folder of the export'
    )
  return directory


def holds(digests):
  """Whether the digests belong to shipped weights."""
  return any(
    digests == exports.recorded_digests(directory)
    for directory in (PALM, HAND, PALM_FRAME)
  )

"""Where the palms of a run come from: drawn, a folder, or a prepared set."""

import jax
import numpy as np

from palmjax.data.palms import palms
from palmjax.data.sets import folder, prepared, stored_images, turns
from palmjax.data.sets.builders import real_sets
from palmjax.recipes.shared import config_keys

PREPARED = ('drawn_palms', *real_sets.BUILDERS)
# Stream of the data's key: palms drawn.
DRAWN = 0


def read(config, key):
  """Reads or draws all palms of a run.

  Args:
    config: with `data` and `image_size`.
    key: random key of the data, as for `palm_images.load`.

  Returns:
    `folder.Images`, or `prepared.PreparedImages` of drawn palms and of sets.

  Raises:
    ValueError, OSError: one line that says what is wrong with the data.
  """
  data = config.data
  with config_keys.named('data'):
    turns.require(data.turn)
  if data.turn and data.name != 'folder':
    raise ValueError(
      f'--config.data.turn={data.turn} is for --config.data.name=folder: drawn '
      'palms lie upright, and a prepared set has the turn of python -m '
      'palmjax.prepare'
    )
  if data.name == 'palms':
    return _draw(data, config.image_size, jax.random.fold_in(key, DRAWN))
  if data.name not in ('folder', *PREPARED):
    raise ValueError(
      f'--config.data.name={data.name}: choose palms, folder or a prepared '
      f'set, {", ".join(PREPARED)}'
    )
  if not data.dir:
    raise ValueError(
      f'--config.data.name={data.name} needs --config.data.dir=DIR'
    )
  if data.name == 'folder':
    return folder.read(data.dir, size=config.image_size, turn=data.turn)
  try:
    if not data.get('stream', False):
      return prepared.load(data.dir, size=config.image_size)
    source = prepared.Source(data.dir, size=config.image_size)
  except prepared.OtherSizeError as error:
    raise ValueError(f'--config.image_size: {error}') from error
  return source.with_images(stored_images.whole(source))


def batch_size(data):
  """Number of palms that are drawn at once: little memory, one compilation."""
  return min(256, data.identities * data.samples)


def _draw(data, size, key):
  if data.identities < 4 or data.samples < 2 or not 0 <= data.difficulty <= 1:
    raise ValueError(
      'drawn palms need --config.data.identities of at least 4, '
      '--config.data.samples of at least 2 and --config.data.difficulty '
      'from 0 to 1'
    )
  images, labels, samples = palms.draw_set(
    key,
    np.arange(data.identities),
    data.samples,
    size=size,
    difficulty=data.difficulty,
    batch_size=batch_size(data),
  )
  sessions = palms.session_of(samples)
  return prepared.PreparedImages(
    images=images,
    labels=labels,
    identities=tuple(
      f'person {k // 2} {("left", "right")[k % 2]}'
      for k in range(data.identities)
    ),
    ids=tuple(
      f'{k}/{n}' for k, n in zip(labels.tolist(), samples.tolist(), strict=True)
    ),
    groups=labels // 2,
    sessions=sessions,
    devices=palms.device_of(sessions),
  )

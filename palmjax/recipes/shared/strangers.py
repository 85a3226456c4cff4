"""Palms of strangers: what the thresholds of a run's networks are set on.

One image of each palm, of identities that no network was trained on. They are,
in this order:

  drawn palms        drawn for this alone, by a run that draws its palms
  spare identities   of a folder or a prepared set: held out for `stop`, or left
                     over by the labelled budget
  tested ones        those of the report's test, where the others are fewer than
                     a cohort needs; `Strangers.dataset` says so
"""

import dataclasses
import pathlib
from collections.abc import Callable

import jax
import numpy as np

from palmjax import file_names
from palmjax.data.palms import palms as drawn_palms
from palmjax.data.sets import folder, prepared
from palmjax.recipes.shared import palm_source

_DRAWN = 256  # Palms: pairs enough to measure an FMR of 1e-3.


@dataclasses.dataclass(frozen=True, eq=False)
class Strangers:
  """Palms that thresholds are set on.

  Attributes:
    read: size → uint8 [N, S, S, 3], one image of each palm. Drawn palms have
      the size of the run, whatever is asked for.
    palms: N, how many there are.
    dataset: what they are, in words.
    drawn: whether a program drew them: their thresholds hold on no camera.
    tested: whether the report's test is of them.
  """

  read: Callable[[int], np.ndarray]
  palms: int
  dataset: str
  drawn: bool
  tested: bool


def find(config, palms, key):
  """The strangers of a run; nothing is read or drawn before it is asked for.

  Args:
    config: with `data` and `image_size`.
    palms: `palm_images.PalmImages` of the config.
    key: random key of the data, as for `palm_images.load`.

  Returns:
    `Strangers`.
  """
  data = config.data
  if data.name == 'palms':
    return Strangers(
      read=lambda size: _draw(config, key),
      palms=_DRAWN,
      dataset=f'drawn palms, difficulty {data.difficulty:g}, none trained on',
      drawn=True,
      tested=False,
    )
  ids, tested = palms.strangers
  drawn = data.name == 'drawn_palms'
  name = file_names.printable(pathlib.Path(data.dir).resolve().name)
  kind = 'drawn palms of the set' if drawn else 'palms of the folder'
  if data.name not in ('folder', 'drawn_palms'):
    kind, name = 'palms of the set', data.name
  return Strangers(
    read=lambda size: _read(data, ids, None if drawn else size),
    palms=len(ids),
    dataset=f'{kind} {name}, none trained on'
    + (', all in the test of the report' if tested else ''),
    drawn=drawn,
    tested=tested,
  )


def _draw(config, key):
  data = config.data
  # From an even number on: the two palms of a person stay together.
  first = data.identities + data.identities % 2
  images, _, _ = drawn_palms.draw_set(
    jax.random.fold_in(key, palm_source.DRAWN),
    first + np.arange(_DRAWN),
    1,
    size=config.image_size,
    difficulty=data.difficulty,
    # As the run drew its own: the same program.
    batch_size=palm_source.batch_size(data),
  )
  return images


def _read(data, ids, size):
  """Images of a folder or a prepared set, in the order of their ids."""
  if data.name == 'folder':
    folder_images = folder.read(data.dir, size=size, turn=data.turn, only=ids)
    at = {name: i for i, name in enumerate(folder_images.ids)}
    return folder_images.images[[at[name] for name in ids]]
  source = prepared.Source(data.dir, size=size)
  at = {name: i for i, name in enumerate(source.ids)}
  return np.stack([source[at[name]]['image'] for name in ids])

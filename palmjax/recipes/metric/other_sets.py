"""Sets that a network is tested on beside its own: prepared ones, folders."""

import dataclasses
import pathlib
from collections.abc import Callable

import numpy as np

from palmjax import file_names
from palmjax.data.sets import folder, prepared, stored_images
from palmjax.data.sets.builders import layout
from palmjax.recipes.shared import lying


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class OtherSet:
  """All images of a set.

  Attributes:
    name: of the set, or of the folder.
    source: `prepared.Source` or `folder.Images`.
    images: uint8 [N, size, size, 3].
    labels: int [N].
    sessions: int [N]; `layout.NO_SESSION` where nobody knows.
    devices: int or str [N]; '' where nobody knows.
    again: (indices, size) → uint8 [n, size, size, 3].
  """

  name: str
  source: prepared.Source | folder.Images
  images: np.ndarray
  labels: np.ndarray
  sessions: np.ndarray
  devices: np.ndarray
  again: Callable[[np.ndarray, int], np.ndarray]


def read(directory, *, size):
  """Reads a prepared set, or a folder DIR/<identity>/<image>.

  Logs one line where the palms seem to lie on their side.

  Args:
    directory: as for `prepared.Source` or `folder.read`.
    size: side of the network's images in pixels.

  Returns:
    `OtherSet`.

  Raises:
    OSError, ValueError: there is no such folder, or it cannot be read.
  """
  if not pathlib.Path(directory).is_dir():
    raise ValueError(
      f'there is no folder {directory}; give prepared sets, or folders '
      'DIR/<identity>/<image>'
    )
  if prepared.is_one(directory):
    return _prepared_set(directory, size)
  return _folder(directory, size)


def _prepared_set(directory, size):
  source = prepared.Source(directory, size=size)
  image_set = OtherSet(
    name=source.name,
    source=source,
    images=stored_images.whole(source).read(),
    labels=source.labels,
    sessions=source.sessions,
    devices=source.devices,
    again=lambda indices, size: np.stack(
      [source.image(i, size=size) for i in indices.tolist()]
    ),
  )
  if source.name != 'drawn_palms':  # They lie upright.
    lying.warn(
      *(image_set.images, image_set.labels, source.name),
      turn=source.turn,
      option='python -m palmjax.prepare --turn',
    )
  return image_set


def _folder(directory, size):
  source = folder.read(directory, size=size)
  name = file_names.printable(pathlib.Path(directory).resolve().name)

  def again(indices, size):
    ids = [source.ids[i] for i in indices.tolist()]
    chosen = folder.read(directory, size=size, only=ids)
    at = {name: i for i, name in enumerate(chosen.ids)}
    return chosen.images[[at[name] for name in ids]]

  lying.warn(source.images, source.labels, f'palms of {name}', turn=0)
  return OtherSet(
    name=name,
    source=source,
    images=source.images,
    labels=source.labels,
    sessions=np.full(len(source.labels), layout.NO_SESSION),
    devices=np.full(len(source.labels), ''),
    again=again,
  )

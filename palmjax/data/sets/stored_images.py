"""Images of a prepared set that stay on disk until they are asked for."""

import concurrent.futures
import dataclasses

import numpy as np

from palmjax.data.sets import prepared


@dataclasses.dataclass(frozen=True, eq=False)
class StoredImages:
  """Looks like an array [N, S, S, 3]; an index reads, an array of them selects.

  Attributes:
    source: the whole set.
    indices: int [N], which of its images these are.
    ways: int [N] in 0..7, how `turn` turns each.
  """

  source: prepared.Source
  indices: np.ndarray
  ways: np.ndarray

  def __len__(self):
    return len(self.indices)

  def __getitem__(self, key):
    if isinstance(key, np.ndarray):
      return StoredImages(self.source, self.indices[key], self.ways[key])
    image = self.source[int(self.indices[key])]['image']
    return turn(image, int(self.ways[key]))

  def read(self):
    """All of them, uint8 [N, S, S, 3]."""
    # Pillow lets go of the interpreter lock while it decodes.
    with concurrent.futures.ThreadPoolExecutor() as pool:
      return np.stack(list(pool.map(self.__getitem__, range(len(self)))))


@dataclasses.dataclass(frozen=True, eq=False)
class Examples:
  """Images with their labels, as `streams.grain_batches` reads them."""

  images: StoredImages
  labels: np.ndarray

  def __len__(self):
    return len(self.labels)

  def __getitem__(self, index):
    return {'image': self.images[index], 'label': self.labels[index]}


def whole(source):
  """All images of a `prepared.Source`."""
  count = len(source)
  return StoredImages(source, np.arange(count), np.zeros(count, np.int64))


def turn(images, way):
  """Turns squares [..., S, S, 3] way mod 4 times and mirrors them from 4 on."""
  images = np.rot90(images, way % 4, axes=(-3, -2))
  return images[..., ::-1, :] if way >= 4 else images

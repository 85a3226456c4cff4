"""Prepared sets: written to disk once, read at random by every run after."""

import collections
import concurrent.futures
import dataclasses
import io
import pathlib

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from palmjax import files
from palmjax.data.sets import folder, splits, turns
from palmjax.data.sets.builders import drawn_palms, write
from palmjax.images import image_file

_INFO = 'dataset_info.json'


def drawn(data_dir, *, identities, samples, size, difficulty, devices, seed):
  """Draws palms into a folder under `data_dir`; one that is there is kept.

  Args:
    data_dir: folder of all data sets.
    identities: number of palms, at least 2.
    samples: images of each.
    size: side in pixels, at least 16.
    difficulty: 0 to 1.
    devices: number of devices; every session of a person has one.
    seed: int, 0 or more.

  Returns:
    The path of the prepared set.

  Raises:
    ValueError: a number out of range.
    OSError: the folder cannot be written.
  """
  for name, value, low, high in (
    ('identities', identities, 2, 10**7),
    ('samples', samples, 1, 10**5),
    ('size', size, 16, 1024),
    ('difficulty', difficulty, 0, 1),
    ('devices', devices, 1, 10**6),
    ('seed', seed, 0, 2**31 - 1),
  ):
    if not low <= value <= high:
      raise ValueError(f'{name}={value}: give {low} to {high}')
  return write.write(
    drawn_palms.DrawnPalms(
      data_dir=data_dir,
      config=drawn_palms.make_config(
        size=size,
        identities=identities,
        samples=samples,
        difficulty=difficulty,
        devices=devices,
        seed=seed,
      ),
      file_format='array_record',
    )
  )


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class PreparedImages(folder.Images):
  """`folder.Images`, and what a prepared set tells of the capture.

  Attributes:
    sessions: int64 [N]; `layout.NO_SESSION` where the set tells none.
    devices: int or str [N].
    turn: degrees clockwise by which the images were turned (`turns`).
  """

  sessions: np.ndarray
  devices: np.ndarray
  turn: int = 0


class OtherSizeError(ValueError):
  """Drawn palms of a prepared set have another size than what is asked for."""


class Source:
  """A prepared set for random access, e.g. for `streams.grain_batches`.

  `source[i]` is {'image': uint8 [size, size, 3], 'label': int32}; pixels are
  read, decoded and, in a real set, cut square, resized and turned upright when
  asked for.

  Attributes:
    name: of the set, e.g. 'tongji'.
    size: side of the images in pixels.
    turn: degrees clockwise by which its images are turned (`turns`).
    labels: int32 [N], dense.
    identities: K names.
    ids: N names.
    groups: int64 or str [N], the persons.
    sessions: int64 [N].
    devices: int64 or str [N].
    skipped: names of images that could not be read.
    failed: {identity: how many of its}; it may have no other images.
  """

  def __init__(self, directory, *, size=None):
    """Opens a set and reads what there is to know but for the pixels.

    Args:
      directory: what `drawn` or `real_sets.prepare` returned, or a data_dir
        that holds one set only.
      size: side of the images in pixels; None takes that of drawn palms.

    Raises:
      FileNotFoundError: nothing prepared there.
      OtherSizeError: drawn palms of another size.
      ValueError: several sets there, no size given for a real set, whose images
        have many, or several images of one id.
    """
    set_builder = builder(directory)
    features = set_builder.info.features
    prepared = features['image'].shape[0]
    if prepared is None and size is None:
      raise ValueError(f'{directory} has images of many sizes; give a size')
    if None not in (prepared, size) and prepared != size:
      raise OtherSizeError(
        f'the images in {directory} have {prepared} px, not {size}; ask for '
        f'{prepared}, or prepare a set with --size={size}'
      )
    self.name = set_builder.info.name
    self.size = prepared if size is None else size
    # Left encoded: TFDS would ask for OpenCV, and labels need no pixels.
    self._records = set_builder.as_data_source(
      'train', decoders={'image': tfds.decode.SkipDecoding()}
    )
    names = ('label', 'person', 'session', 'device', 'id')
    rows = [
      [_plain(record[name]) for name in names] for record in self._records
    ]
    labels, groups, sessions, devices, ids = zip(*rows, strict=True)
    if len(set(ids)) < len(ids):
      name, times = collections.Counter(ids).most_common(1)[0]
      raise ValueError(
        f'{directory}: {times} images have the id {name}; prepare the set again'
      )
    # A palm none of whose images could be read has a number but no image.
    self.labels, numbers = splits.dense(labels)
    label = features['label']
    known = isinstance(label, tfds.features.ClassLabel)
    self.identities = tuple(
      label.names[k] if known else str(k) for k in numbers.tolist()
    )
    self.groups = np.array(groups)
    self.sessions = np.array(sessions)
    self.devices = np.array(devices)
    self.ids = ids
    # Older sets have none: they were read as they lay.
    self.turn = set_builder.info.metadata.get('turn', 0)
    skipped = set_builder.info.metadata.get('skipped', {})
    self.skipped = tuple(skipped)
    self.failed = collections.Counter(skipped.values())

  def __len__(self):
    return len(self.labels)

  def __getitem__(self, index):
    return {
      'image': self.image(index, size=self.size),
      'label': self.labels[index],
    }

  def image(self, index, *, size):
    """An image in a size of the caller's: uint8 [size, size, 3]."""
    image = io.BytesIO(self._records[index]['image'])
    return turns.upright(image_file.decode(image, size=size), self.turn)

  def with_images(self, images):
    """The set as `PreparedImages`, with images [N, …] in its order."""
    return PreparedImages(
      images=images,
      labels=self.labels,
      identities=self.identities,
      ids=self.ids,
      groups=self.groups,
      skipped=self.skipped,
      sessions=self.sessions,
      devices=self.devices,
      turn=self.turn,
    )


def load(directory, *, size):
  """Reads a prepared set, drawn or real, into memory.

  Args:
    directory: as for `Source`.
    size: side of the images that the caller wants, in pixels. Real palms are
      brought to it; drawn ones must have it.

  Returns:
    `PreparedImages`.

  Raises:
    FileNotFoundError: nothing prepared there.
    ValueError: several sets there, or drawn palms of another size.
  """
  source = Source(directory, size=size)
  with concurrent.futures.ThreadPoolExecutor() as pool:
    examples = list(pool.map(source.__getitem__, range(len(source))))
  return source.with_images(np.stack([one['image'] for one in examples]))


def write_images(directory, root):
  """Writes a prepared set as files: root/<identity>/<image>.png.

  Args:
    directory: as for `Source`, of a set whose ids are such paths: drawn palms.
    root: folder of the files; it is made.

  Raises:
    OSError: a file cannot be written.
  """
  source = Source(directory)
  for number, name in enumerate(source.ids):
    path = pathlib.Path(root) / f'{name}.png'
    files.make_folder(path.parent)
    buffer = io.BytesIO()
    Image.fromarray(source[number]['image']).save(buffer, 'PNG')
    files.write_file(path, buffer.getvalue())


def _plain(value):
  """A text or a number of a record, as Python has it."""
  return value.decode() if isinstance(value, bytes) else int(value)


def is_one(directory):
  """Whether a folder holds a prepared set, or several."""
  return bool(_prepared_in(directory))


def builder(directory):
  """The TFDS builder of the one set in a folder."""
  folders = _prepared_in(directory)
  if not folders:
    raise FileNotFoundError(
      f'no prepared data set in {directory}; make one with: python -m '
      f'palmjax.prepare --dataset=drawn_palms --data_dir={directory}'
    )
  if len(folders) > 1:
    raise ValueError(
      f'{directory} holds {len(folders)} data sets; give the folder of one, '
      f'e.g. {folders[0]}'
    )
  return tfds.builder_from_directory(folders[0])


def _prepared_in(directory):
  """Folders of prepared sets, at most three levels below."""
  root = pathlib.Path(directory)
  return [
    path.parent
    for level in ('', '*/', '*/*/', '*/*/*/')
    for path in sorted(root.glob(level + _INFO))
    if not path.parent.name.startswith('incomplete.')
  ]

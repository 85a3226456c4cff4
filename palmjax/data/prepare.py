"""Writes a data set to disk once, to be read at random by every run after.

python -m palmjax.data.prepare --dataset=drawn_palms --data_dir=DIR

An interrupted preparation leaves nothing that looks finished: files are
written to a folder of their own, which gets its name at the end.
"""

import argparse
import concurrent.futures
import contextlib
import io
import os
import pathlib
import shutil
import sys

import numpy as np
import tensorflow_datasets as tfds
from absl import logging
from PIL import Image

from palmjax.data import folder
from palmjax.data.builders import drawn_palms

_INFO = 'dataset_info.json'


def main(argv=None):
  """The command line; returns the exit code."""
  parser = argparse.ArgumentParser(
    prog='python -m palmjax.data.prepare', description=__doc__.split('\n')[0]
  )
  parser.add_argument('--dataset', choices=['drawn_palms'], required=True)
  parser.add_argument('--data_dir', required=True, help='folder of all sets')
  parser.add_argument('--identities', type=int, default=1000)
  parser.add_argument('--samples', type=int, default=20, help='of each palm')
  parser.add_argument('--size', type=int, default=112, help='pixels')
  parser.add_argument('--difficulty', type=float, default=0.5, help='0 to 1')
  parser.add_argument('--seed', type=int, default=0)
  args = parser.parse_args(argv)
  logging.set_verbosity(logging.ERROR)  # TFDS warns of every new config.
  try:
    directory = drawn(
      args.data_dir,
      identities=args.identities,
      samples=args.samples,
      size=args.size,
      difficulty=args.difficulty,
      seed=args.seed,
    )
  except (ValueError, OSError) as error:
    print(f'palmjax: {" ".join(str(error).split())}', file=sys.stderr)
    return 1
  print(
    f'{args.identities * args.samples} images in {directory}\n'
    'Train on them: python -m palmjax.main --config=configs/ssl.py '
    '--workdir=runs/prepared --config.data.name=drawn_palms '
    f'--config.data.dir={directory} --config.image_size={args.size}'
  )
  return 0


def drawn(data_dir, *, identities, samples, size, difficulty, seed):
  """Draws palms into a folder under `data_dir`; one that is there is kept.

  Args:
    data_dir: folder of all data sets.
    identities: number of palms, at least 2.
    samples: images of each.
    size: side in pixels, at least 16.
    difficulty: 0 to 1.
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
    ('seed', seed, 0, 2**31 - 1),
  ):
    if not low <= value <= high:
      raise ValueError(f'--{name}={value}: give {low} to {high}')
  builder = drawn_palms.DrawnPalms(
    data_dir=data_dir,
    config=drawn_palms.make_config(
      size=size,
      identities=identities,
      samples=samples,
      difficulty=difficulty,
      seed=seed,
    ),
    file_format='array_record',
  )
  target = pathlib.Path(builder.data_path)
  # What a killed run left behind: TFDS removes it only after an exception.
  for stale in target.parent.glob(f'incomplete.*_{target.name}'):
    shutil.rmtree(stale)
  tfds.disable_progress_bar()  # The builder has its own.
  # TFDS announces a download of unknown size: there is none.
  with contextlib.redirect_stdout(io.StringIO()):
    builder.download_and_prepare()
  return os.fspath(target)


class Source:
  """A prepared set for random access, e.g. for `pipeline.grain_batches`.

  `source[i]` is {'image': uint8 [size, size, 3], 'label': int32}; pixels are
  read and decoded when asked for.

  Attributes:
    size: side of the images in pixels.
    labels: int32 [N].
    ids: N names.
    groups: int64 [N], the persons.
  """

  def __init__(self, directory):
    """Opens a set and reads what there is to know but for the pixels.

    Args:
      directory: what `drawn` returned, or a data_dir that holds one set only.

    Raises:
      FileNotFoundError: nothing prepared there.
      ValueError: several sets there.
    """
    builder = _builder(directory)
    self.size = builder.info.features['image'].shape[0]
    # Left encoded: TFDS would ask for OpenCV, and labels need no pixels.
    self._records = builder.as_data_source(
      'train', decoders={'image': tfds.decode.SkipDecoding()}
    )
    rows = [(r['label'], r['person'], r['id']) for r in self._records]
    labels, groups, ids = zip(*rows, strict=True)
    self.labels = np.array(labels, np.int32)
    self.groups = np.array(groups, np.int64)
    self.ids = tuple(name.decode() for name in ids)

  def __len__(self):
    return len(self.labels)

  def __getitem__(self, index):
    record = self._records[index]
    with Image.open(io.BytesIO(record['image'])) as image:
      pixels = np.asarray(image, np.uint8)
    return {'image': pixels, 'label': np.int32(record['label'])}


def load(directory, *, size):
  """Reads a prepared set into memory.

  Args:
    directory: as for `Source`.
    size: side of the images that the caller expects, in pixels.

  Returns:
    `folder.Images`.

  Raises:
    FileNotFoundError: nothing prepared there.
    ValueError: several sets there, or images of another size.
  """
  source = Source(directory)
  if source.size != size:
    raise ValueError(
      f'the images in {directory} have {source.size} px and the run wants '
      f'{size}; set --config.image_size={source.size} or prepare with '
      f'--size={size}'
    )
  with concurrent.futures.ThreadPoolExecutor() as pool:
    examples = list(pool.map(source.__getitem__, range(len(source))))
  return folder.Images(
    images=np.stack([example['image'] for example in examples]),
    labels=source.labels,
    identities=tuple(str(k) for k in range(source.labels.max() + 1)),
    ids=source.ids,
    groups=source.groups,
  )


def _builder(directory):
  """The TFDS builder of the one set in a folder."""
  root = pathlib.Path(directory)
  levels = ('', '*/', '*/*/', '*/*/*/')
  found = [
    path.parent
    for level in levels
    for path in sorted(root.glob(level + _INFO))
    if not path.parent.name.startswith('incomplete.')
  ]
  if not found:
    raise FileNotFoundError(
      f'no prepared data set in {directory}; make one with: python -m '
      f'palmjax.data.prepare --dataset=drawn_palms --data_dir={directory}'
    )
  if len(found) > 1:
    raise ValueError(
      f'{directory} holds {len(found)} data sets; give the folder of one, '
      f'e.g. {found[0]}'
    )
  return tfds.builder_from_directory(found[0])


if __name__ == '__main__':
  sys.exit(main())

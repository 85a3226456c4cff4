"""Real palm print sets as TFDS data sets, without TensorFlow: what they share.

No real set may be passed on, so nothing is downloaded: a builder reads the
folder into which the owners' archives were unpacked (`layout`).

PNG and JPEG bytes are kept as they are; BMP, TIFF and WebP become PNG, which
loses nothing. The turn that brings palms upright (`sets.turns`) is kept beside
them; readers apply it.
"""

import concurrent.futures
import dataclasses
import hashlib
import io
import os
import pathlib
from collections.abc import Sequence

import numpy as np
import rich.console
import rich.progress
import tensorflow_datasets as tfds
from absl import logging

from palmjax import file_names
from palmjax.data.sets import folder
from palmjax.data.sets.builders import layout
from palmjax.images import image_file

_FORMATS = (*image_file.FORMATS, 'TIFF')
# Images read at once: bounds the memory, 64 photographs are about 300 MB.
BATCH = 64


def encode(path):
  """Returns the PNG or JPEG bytes of a whole image file.

  Raises:
    image_file.UnreadableError: not a whole image, or a too large one.
  """
  with image_file.opened(path, formats=_FORMATS) as image:
    image.load()
    # Not `in ('JPEG', 'PNG')`: some phones' JPEGs are MPO to Pillow.
    if image.format not in ('BMP', 'TIFF', 'WEBP'):
      return pathlib.Path(path).read_bytes()
    buffer = io.BytesIO()
    upright = image_file.turned(image, image_file.orientation(image))
    upright.save(buffer, format='png')
    return buffer.getvalue()


@dataclasses.dataclass
class RealPalmsConfig(tfds.core.BuilderConfig):
  """Which images to read.

  Attributes:
    source: path of DIR.
    records: what there is in it.
    turn: degrees clockwise that bring its palms upright.
  """

  source: str = ''
  records: tuple[layout.Record, ...] = ()
  turn: int = 0


def make_config(source, records, *, turn=0):
  """The config named after its files and turn: others, another prepared set.

  Args:
    source: path of DIR.
    records: `layout.Record`s of what there is in it.
    turn: degrees clockwise that bring its palms upright.
  """
  digest = hashlib.sha256()
  for record in records:
    path = os.path.join(source, record.path)
    size = os.path.getsize(path) if os.path.isfile(path) else None
    # Names need not be UTF-8.
    text = f'{record.path}\n{size}\n'
    digest.update(text.encode('utf-8', 'surrogateescape'))
  return RealPalmsConfig(
    name=f'{len(records)}_images_{digest.hexdigest()[:8]}'
    + (f'_turn{turn}' if turn else ''),
    source=os.fspath(source),
    records=records,
    turn=turn,
  )


class RealPalms(tfds.core.GeneratorBasedBuilder, skip_registration=True):
  """Base of the builders of real sets: what differs is their layout.

  Attributes:
    DESCRIPTION: one line.
    HOMEPAGE: of the owners.
    TREE: the expected layout, for messages.
    LAYOUTS: as `layout.collect` takes them.
  """

  DESCRIPTION: str
  HOMEPAGE: str
  TREE: str
  LAYOUTS: Sequence[tuple[str, str]]

  # Found by TFDS 4.9 with importlib_resources, which it does not depend on.
  code_path = pathlib.Path(__file__)

  @staticmethod
  def record(path, groups):
    """The record of an image, of the groups of its layout."""
    return layout.of_hand(path, groups)

  @classmethod
  def find(cls, source):
    """Lists the `layout.Record`s of a folder; raises as `layout.collect`."""
    return layout.collect(
      source, layouts=cls.LAYOUTS, record=cls.record, tree=cls.TREE
    )

  @classmethod
  def turn(cls, records):
    """How the owners' images lie: degrees clockwise that bring them upright.

    Args:
      records: `layout.Record`s of the images that are read.
    """
    del records  # Most owners cut or photograph all palms alike.
    return 0

  def _info(self):
    identities = sorted({r.identity for r in self.builder_config.records})
    return self.dataset_info_from_configs(
      description=self.DESCRIPTION,
      homepage=self.HOMEPAGE,
      license='As agreed with the owners; not to be passed on.',
      features=tfds.features.FeaturesDict(
        {
          # Of any size, and grey or RGB: readers decode and resize.
          'image': tfds.features.Image(shape=(None, None, 3)),
          'label': tfds.features.ClassLabel(names=identities),
          'person': tfds.features.Text(),
          'hand': tfds.features.ClassLabel(names=list(layout.HANDS)),
          'sample': np.int32,
          'session': np.int32,
          'device': tfds.features.Text(),
          'remarks': tfds.features.Text(),
          'id': tfds.features.Text(),
        }
      ),
      supervised_keys=('image', 'label'),
      metadata=tfds.core.MetadataDict(),
      # By palm; readers shuffle.
      disable_shuffling=True,
    )

  def _split_generators(self, dl_manager):
    del dl_manager  # Nothing to download.
    return {'train': self._generate_examples()}

  def _generate_examples(self):
    source, records = self.builder_config.source, self.builder_config.records
    skipped = {}
    # Pillow lets go of the interpreter lock while it decodes.
    workers = min(8, os.cpu_count() or 1)
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
      for start in rich.progress.track(
        range(0, len(records), BATCH),
        description='Reading palms',
        console=rich.console.Console(stderr=True),
      ):
        batch = records[start : start + BATCH]
        images = pool.map(
          lambda record: image_file.attempt(
            encode, os.path.join(source, record.path)
          ),
          batch,
        )
        rows = zip(batch, images, strict=True)
        for number, (record, image) in enumerate(rows, start):
          if isinstance(image, str):
            name = file_names.printable(record.path)
            logging.warning('skipped %s in %s: %s', name, source, image)
            skipped[name] = record.identity
            _stop_if_many(skipped, records, source)
            continue
          yield number, _example(record, image)
    # Whose they are, too: a palm may have no other image.
    self.info.metadata['skipped'] = skipped
    self.info.metadata['turn'] = self.builder_config.turn


def _example(record, image):
  """The features of one image."""
  fields = dataclasses.asdict(record)
  return {
    'image': image,
    'label': fields.pop('identity'),
    'id': file_names.printable(fields.pop('path')),
    **fields,
    'device': file_names.printable(record.device),
  }


def _stop_if_many(skipped, records, source):
  """Raises ValueError once the share of unreadable images is too large."""
  if len(skipped) > folder.MAX_SKIPPED * len(records):
    raise ValueError(
      f'at least {len(skipped)} of {len(records)} images in {source} cannot be '
      f'read (more than {folder.MAX_SKIPPED:.0%}): {layout.some([*skipped])}; '
      'repair or remove them'
    )

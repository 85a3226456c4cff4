"""The drawn palms of `data.palms.palms` as a TFDS data set, without TensorFlow.

TFDS imports TensorFlow where an image is given as an array; PNG bytes and
`file_format='array_record'` never touch it. Raise `VERSION` when
`data.palms.palms` draws other pixels: prepared sets are found by it.
"""

import concurrent.futures
import dataclasses
import io
import itertools
import pathlib

import jax
import numpy as np
import rich.console
import rich.progress
import tensorflow_datasets as tfds
from PIL import Image

from palmjax.data.palms import palms
from palmjax.ops import chunks

# Palms drawn at once: one compiled program, about 10 MB of pixels at 224 px.
_BATCH = 64


@dataclasses.dataclass
class DrawnPalmsConfig(tfds.core.BuilderConfig):
  """What to draw. Identity 2p is the left palm of person p, 2p + 1 the right.

  Attributes:
    size: side of the images in pixels.
    identities: number of palms.
    samples: images of each palm.
    difficulty: 0 (easy) to 1, see `data.palms.palms`.
    devices: number of devices; session s of person p has device p + s, modulo
      this number.
    seed: of all that is drawn.
  """

  size: int = 112
  identities: int = 1000
  samples: int = 20
  difficulty: float = 0.5
  devices: int = palms.DEVICES
  seed: int = 0


def make_config(*, size, identities, samples, difficulty, devices, seed):
  """The config whose name, hence whose folder, tells all of its numbers."""
  return DrawnPalmsConfig(
    name=(
      f'{identities}x{samples}_{size}px_difficulty{difficulty:g}'
      f'_devices{devices}_seed{seed}'
    ),
    size=size,
    identities=identities,
    samples=samples,
    difficulty=difficulty,
    devices=devices,
    seed=seed,
  )


class DrawnPalms(tfds.core.GeneratorBasedBuilder):
  """Palms drawn by a program: no person's palm is in this data set."""

  VERSION = tfds.core.Version('1.1.0')

  # Found by TFDS 4.9 with importlib_resources, which it does not depend on.
  code_path = pathlib.Path(__file__)

  def _info(self):
    size = self.builder_config.size
    return self.dataset_info_from_configs(
      description='Palms drawn by a program, with sessions and devices.',
      features=tfds.features.FeaturesDict(
        {
          'image': tfds.features.Image(
            shape=(size, size, 3), encoding_format='png'
          ),
          'label': tfds.features.Scalar(np.int32, doc='The identity.'),
          'person': np.int32,
          'hand': tfds.features.ClassLabel(names=['left', 'right']),
          'sample': np.int32,
          'session': np.int32,
          'device': np.int32,
          'id': tfds.features.Text(),
        }
      ),
      supervised_keys=('image', 'label'),
      license='Apache-2.0',
      # By identity, then sample; readers shuffle.
      disable_shuffling=True,
    )

  def _split_generators(self, dl_manager):
    del dl_manager  # Nothing to download.
    return {'train': self._generate_examples()}

  def _generate_examples(self):
    config = self.builder_config
    total = config.identities * config.samples
    key = jax.random.key(config.seed)
    with concurrent.futures.ThreadPoolExecutor() as pool:
      for index in rich.progress.track(
        chunks.indices(total, _BATCH),
        description='Drawing palms',
        console=rich.console.Console(stderr=True),
      ):
        identities, samples = np.divmod(index, config.samples)
        sessions = palms.session_of(samples)
        devices = (identities // 2 + sessions) % config.devices
        images = palms.draw_batch(
          key,
          identities,
          samples,
          sessions=sessions,
          devices=devices,
          size=config.size,
          difficulty=config.difficulty,
        )
        rows = zip(
          index.tolist(),
          identities.tolist(),
          samples.tolist(),
          sessions.tolist(),
          devices.tolist(),
          pool.map(_png, np.asarray(images)),
          strict=True,
        )
        for row in itertools.islice(rows, total - index[0]):
          number, identity, sample, session, device, image = row
          yield (
            number,
            {
              'image': image,
              'label': identity,
              'person': identity // 2,
              'hand': identity % 2,
              'sample': sample,
              'session': session,
              'device': device,
              'id': f'{identity}/{sample}',
            },
          )


def _png(image):
  buffer = io.BytesIO()
  Image.fromarray(image).save(buffer, format='png')
  return buffer.getvalue()

"""Drawn palms to measure on, as `palmjax.verify` reads the files of palms."""

import jax
import numpy as np

from palmjax.data.palms import palms
from palmjax.images import image_file
from palmjax.ops import chunks

_DEVICES = 64
BATCH = 64  # Palms drawn at once.


def draw(seed, *, identities, samples, size, square, difficulty):
  """Draws palms, each session with a device of its own.

  Args:
    seed: of the generator.
    identities: K.
    samples: images of each.
    size: side of the drawn images in pixels.
    square: side of the images that are made of them, S.
    difficulty: 0 to 1.

  Returns:
    (uint8 [N, S, S, 3], labels [N], sessions [N]), by label.
  """
  labels = np.repeat(np.arange(identities), samples)
  numbers = np.tile(np.arange(samples), identities)
  sessions = palms.session_of(numbers)
  images = np.empty((len(labels), square, square, 3), np.uint8)
  for index in chunks.indices(len(labels), BATCH):
    drawn = palms.draw_batch(
      jax.random.key(seed),
      labels[index],
      numbers[index],
      devices=(labels[index] // 2 + sessions[index]) % _DEVICES,
      size=size,
      difficulty=difficulty,
    )
    images[index] = np.stack(
      [image_file.square(image, size=square) for image in np.asarray(drawn)]
    )
  return images, labels, sessions

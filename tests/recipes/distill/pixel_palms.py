"""Palms of one bright pixel each, whose place tells who it is."""

import numpy as np

from palmjax.recipes.shared import palm_images

IDENTITIES, EACH, SIDE = 16, 12, 4
SESSIONS = 3
# What `device_tests.people` makes of them.
USERS, PASSERS, STRANGERS = 8, 4, 4


def part(sessions=SESSIONS):
  """All of them, as a `palm_images.Part`."""
  labels = np.repeat(np.arange(IDENTITIES), EACH).astype(np.int32)
  number = np.tile(np.arange(EACH), IDENTITIES)
  images = np.zeros((len(labels), SIDE * SIDE, 3), np.uint8)
  images[np.arange(len(labels)), labels] = (200 - number)[:, None]
  return palm_images.Part(
    images.reshape(-1, SIDE, SIDE, 3),
    labels,
    tuple(map(str, range(IDENTITIES))),
    number * sessions // EACH,
  )


def embed(images):
  """Pixels and a constant: images of a palm have about 1, two palms 0.1."""
  flat = np.asarray(images, np.float32).reshape(len(images), -1)
  flat = np.concatenate([flat, np.full((len(flat), 1), 120.0)], axis=1)
  return flat / np.linalg.norm(flat, axis=1, keepdims=True)

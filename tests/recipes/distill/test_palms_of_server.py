"""Which palms set thresholds, and which ones updates rehearse."""

import types

import numpy as np

from palmjax.recipes.distill import training

# Three images of each of five palms; the first image of palm k is full of 10 k.
LABELS = np.repeat(np.arange(5), 3)
IMAGES = np.broadcast_to(
  (10 * LABELS + np.tile(np.arange(3), 5)).astype(np.uint8)[
    :, None, None, None
  ],
  (15, 4, 4, 3),
)
LABELLED = types.SimpleNamespace(images=IMAGES, labels=LABELS)


def values(images):
  return images[:, 0, 0, 0].tolist()


def test_palms_that_none_trained_on_set_thresholds():
  def read(size):
    return np.full((7, size, size, 3), 99, np.uint8)

  impostors, rehearsed = training.palms_of_server(
    types.SimpleNamespace(tested=False, read=read), LABELLED, 4
  )
  assert impostors.shape == (7, 4, 4, 3)
  assert values(impostors) == [99] * 7
  assert values(rehearsed) == [0, 10, 20, 30, 40]


def test_tested_palms_set_no_threshold():
  impostors, rehearsed = training.palms_of_server(
    types.SimpleNamespace(tested=True), LABELLED, 4
  )
  assert values(impostors) == [0, 20, 40]
  assert values(rehearsed) == [10, 30]

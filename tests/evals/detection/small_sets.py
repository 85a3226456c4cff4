"""Sets of few images with boxes and detections."""

import numpy as np

NAMES = ('one', 'two', 'three', 'four')


def random_set(seed, *, num_images=30):
  """Integer boxes and few scores: ties of both. Some images are empty.

  No true box is of the last class.
  """
  generator = np.random.default_rng(seed)
  truths, detections = [], []
  for i in range(num_images):
    count = 0 if i % 5 == 0 else generator.integers(0, 5)
    corner = generator.integers(0, 150, (count, 2))
    side = generator.choice([20, 32, 50, 96, 120], (count, 2))
    boxes = np.concatenate([corner, corner + side], 1)
    classes = generator.integers(0, len(NAMES) - 1, count)
    truths.append((boxes.astype(np.float32), classes))
    copies = generator.integers(0, 4) if count else 0
    near = np.repeat(boxes, copies, 0)
    near[:, :2] += generator.integers(-6, 7, near[:, :2].shape)
    near[:, 2:] += generator.integers(-6, 7, near[:, :2].shape)
    labels = np.repeat(classes, copies)
    changed = generator.random(len(labels)) < 0.2
    labels = np.where(changed, generator.integers(0, 4, len(labels)), labels)
    # More than 100 in one image, of which the last do not count.
    number = 150 if i == 7 else generator.integers(0, 4) * (i % 4 != 0)
    corner = generator.integers(0, 150, (number, 2))
    far = np.concatenate([corner, corner + 32], 1)
    labels = np.append(labels, generator.integers(0, 2, number))
    boxes = np.concatenate([near, far]).astype(np.float32)
    scores = generator.integers(0, 20, len(boxes)) / 20
    detections.append((boxes, scores, labels))
  return truths, detections


def one_class(*images):
  """Images as (true boxes, scores of hits, scores of errors)."""
  truths, detections = [], []
  for count, hits, errors in images:
    corner = 50.0 * np.arange(count)[:, None] * np.ones(2)
    boxes = np.concatenate([corner, corner + 40], 1)
    wrong = np.tile([500.0, 0, 540, 40], (len(errors), 1))
    truths.append((boxes, np.zeros(count, int)))
    detections.append(
      (
        np.concatenate([boxes[: len(hits)], wrong]),
        np.array([*hits, *errors], float),
        np.zeros(len(hits) + len(errors), int),
      )
    )
  return truths, detections

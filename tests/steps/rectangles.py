"""Images of rectangles, whose boxes a detector can learn at once."""

import numpy as np


def rectangles():
  """Four images of 64 px: filled rectangles on grey, two classes by colour."""
  boxes = np.array(
    [
      [[6, 10, 34, 50], [42, 30, 58, 44]],
      [[20, 4, 60, 28], [0, 0, 0, 0]],
      [[30, 22, 54, 62], [4, 6, 20, 30]],
      [[10, 30, 50, 58], [0, 0, 0, 0]],
    ],
    np.float32,
  )
  classes = np.array([[0, 1], [1, 0], [1, 0], [0, 0]], np.int32)
  valid = boxes[..., 2] > 0
  image = np.full((4, 64, 64, 3), 128, np.uint8)
  for b, m in np.argwhere(valid):
    x0, y0, x1, y1 = boxes[b, m].astype(int)
    image[b, y0:y1, x0:x1] = [(230, 40, 40), (40, 60, 220)][classes[b, m]]
  low, high = boxes[..., :2], boxes[..., 2:]
  # A palm frame that turns with nothing: corners and the middle below.
  points = np.stack(
    [
      low,
      np.stack([high[..., 0], low[..., 1]], axis=-1),
      np.stack([(low[..., 0] + high[..., 0]) / 2, high[..., 1]], axis=-1),
    ],
    axis=2,
  )
  return {
    'image': image,
    'boxes': boxes,
    'classes': classes,
    'valid': valid,
    'points': points.astype(np.float32),
    'framed': valid,
    'facing': valid & (classes == 0),
  }

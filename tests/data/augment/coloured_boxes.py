"""Images of coloured boxes, and augmentation of one strength."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np

from palmjax.data.augment import boxes as box_augment

OFF = {
  'mirror': False,
  'turns': False,
  'scale': 0.0,
  'shift': 0.0,
  'saturation': 0.0,
  'hue': 0.0,
  'grey': 0.0,
  'brightness': 0.0,
  'contrast': 0.0,
  'blur': 0.0,
  'noise': 0.0,
  'erase': 0.0,
}
GEOMETRY = {'mirror': True, 'turns': True, 'scale': 0.2, 'shift': 0.1}
# Few sets of strengths in all tests: compiling takes longer than running.
SIZE, COUNT, ROOM = 32, 64, 3
# One pure channel for each row, on grey.
COLOURS = np.eye(3) * 255


def batch(seed=0):
  """Two rectangles an image in red and green; the third row is empty.

  The points are the corners 0, 1 and 2 of the rectangle.
  """
  generator = np.random.default_rng(seed)
  image = np.full((COUNT, SIZE, SIZE, 3), 128, np.uint8)
  boxes = np.zeros((COUNT, ROOM, 4), np.float32)
  for i in range(COUNT):
    # Left and right, so that they do not overlap.
    for m, (low, high) in enumerate(((2, 14), (17, 30))):
      x0, x1 = low + generator.integers(0, 4), high - generator.integers(0, 4)
      y0 = generator.integers(2, 16)
      y1 = y0 + generator.integers(6, 14)
      boxes[i, m] = x0, y0, x1, y1
      image[i, y0:y1, x0:x1] = COLOURS[m]
  valid = np.arange(ROOM) < np.full((COUNT, 1), 2)
  points = boxes[..., [0, 1, 2, 1, 2, 3]].reshape(COUNT, ROOM, 3, 2)
  return {
    'image': jnp.asarray(image),
    'boxes': jnp.asarray(boxes),
    'classes': jnp.asarray(valid * np.array([4, 7, 0]), jnp.int32),
    'valid': jnp.asarray(valid),
    'points': jnp.asarray(points),
    'framed': jnp.asarray(valid),
    'facing': jnp.asarray(valid & (np.arange(ROOM) == 1)),
  }


@functools.cache
def jitted(**strengths):
  function = box_augment.make_augment(**{**OFF, **strengths})
  # Keys and batches do not make it compile again.
  return jax.jit(chex.assert_max_traces(function, n=1))


def apply(batch, seed=0, **strengths):
  changed = jitted(**strengths)(jax.random.key(seed), batch)
  return {name: np.asarray(value) for name, value in changed.items()}


def painted(image, m):
  """Where the colour of row m is in an image: bool [S, S]."""
  colour = image.astype(int)
  others = np.delete(colour, m, axis=-1).max(axis=-1)
  return colour[..., m] - others > 128


def extent(mask):
  rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
  return [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]

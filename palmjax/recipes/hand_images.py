"""Where a recipe's annotated hands come from: drawn, or boxes in a folder."""

import dataclasses
import hashlib

import jax
import numpy as np

from palmjax.data import boxes, hands

NAMES = ('hands', *boxes.FORMS)
# Streams of the key of the data.
_TRAINING, _EVALUATION = range(2)
_CHUNK = 32  # Images drawn at a time.


@dataclasses.dataclass(frozen=True, eq=False)
class HandImages:
  """Annotated images; arrays as `data.hands.draw_batch` returns them.

  Attributes:
    training: {name: array [N, ...]}, what a step reads.
    tests: {suffix: arrays}, '' first; images that no training sees.
    classes: names.
    skipped: names of unreadable images.
    fingerprint: digest of all of it.
  """

  training: dict[str, np.ndarray]
  tests: dict[str, dict[str, np.ndarray]]
  classes: tuple[str, ...]
  skipped: tuple[str, ...]
  fingerprint: str


def load(config, key):
  """Reads or draws the images of a run.

  Args:
    config: of configs/gesture.py.
    key: random key of the data.

  Returns:
    `HandImages`, at the side that the second teacher sees.

  Raises:
    ValueError, OSError: one line that says what is wrong with the data.
  """
  data = config.data
  size = config.image_size * config.resolution.factor
  training, tests, classes, skipped = [], {}, hands.GESTURES, ()
  if data.name != 'hands':
    found = {
      split: boxes.read(
        data.dir,
        form=data.name,
        split=split,
        names=hands.GESTURES if data.images else None,
        bad=data.bad,
      )
      for split in ('train', 'valid')
    }
    classes = found['train'].names
    if found['valid'].names != classes:
      raise ValueError(
        f'{data.dir}: the classes of train {classes} and valid '
        f'{found["valid"].names} differ; make them the same'
      )
    loaded = {k: boxes.load(part, size=size) for k, part in found.items()}
    training += [loaded['train'].arrays] * data.repeat
    tests[''] = loaded['valid'].arrays
    skipped = tuple(
      name
      for split in ('train', 'valid')
      for name in (*found[split].skipped, *loaded[split].skipped)
    )
  if data.images:
    training.append(
      draw(
        jax.random.fold_in(key, _TRAINING),
        data.images,
        size=size,
        difficulty=data.difficulty,
      )
    )
    tests[', drawn hands' if tests else ''] = draw(
      jax.random.fold_in(key, _EVALUATION),
      data.evaluation_images,
      size=size,
      difficulty=data.difficulty,
    )
  training = _join(training)
  return HandImages(
    training, tests, classes, skipped, _digest([training, *tests.values()])
  )


def draw(key, number, *, size, difficulty, **pins):
  """Annotated drawn images 0 … number − 1, in memory.

  Args:
    key: random key of the set.
    number: of images.
    size: side in pixels.
    difficulty: in [0, 1].
    **pins: what is not left to chance, see `hands.draw_batch`; scalars or
      arrays [number].

  Returns:
    {name: array [number, ...]}.
  """
  parts = []
  for start in range(0, number, _CHUNK):
    # The last chunk wraps around: one compilation.
    index = (start + np.arange(_CHUNK)) % number
    drawn = hands.draw_batch(
      key,
      index,
      size=size,
      difficulty=difficulty,
      **{
        name: pin if np.ndim(pin) == 0 else np.asarray(pin)[index]
        for name, pin in pins.items()
      },
    )
    parts.append(jax.device_get(drawn))
  return {
    name: np.concatenate([part[name] for part in parts])[:number]
    for name in parts[0]
  }


def _join(parts):
  """One set of annotated images: rows for the boxes of the fullest image."""
  names = boxes.ARRAYS
  room = max(part['valid'].shape[1] for part in parts)

  def widen(array):
    free = [(0, 0), (0, room - array.shape[1])]
    return np.pad(array, free + [(0, 0)] * (array.ndim - 2))

  return {
    name: np.concatenate(
      [part[name] if name == 'image' else widen(part[name]) for part in parts]
    )
    for name in names
  }


def _digest(sets):
  digest = hashlib.sha256()
  for arrays in sets:
    for name in sorted(arrays):
      digest.update(np.ascontiguousarray(arrays[name]))
  return digest.hexdigest()

"""Annotated hands of a recipe: drawn, or read from a folder of boxes."""

import dataclasses
import functools
import hashlib
import pathlib
import zipfile

import jax
import numpy as np
from absl import logging

from palmjax import files
from palmjax.data.boxes import boxes
from palmjax.data.hands import hands
from palmjax.engine import processes
from palmjax.ops import chunks
from palmjax.recipes.shared import ending, hand_settings

NAMES = ('hands', *boxes.FORMS)
# Streams of the key of the data.
_TRAINING, _EVALUATION, _PALMS, _ANGLES = range(4)
_CHUNK = 32  # Images drawn at a time.


@dataclasses.dataclass(frozen=True, eq=False)
class HandImages:
  """Annotated images; arrays as `data.hands.hands.draw_batch` returns them.

  Attributes:
    training: {name: array [N, ...]}, what a step reads.
    tests: {suffix: arrays}, '' first; images that no training sees.
    classes: names.
    skipped: names of unreadable images.
    fingerprint: digest of all of it.
    held_out: further arrays as of `training`, which are not trained on but tell
      when a training is over; None if there are none.
  """

  training: dict[str, np.ndarray]
  tests: dict[str, dict[str, np.ndarray]]
  classes: tuple[str, ...]
  skipped: tuple[str, ...]
  fingerprint: str
  held_out: dict[str, np.ndarray] | None = None


def load(config, key, folder):
  """Reads or draws the images of a run.

  Args:
    config: of configs/gesture.py or configs/robust.py.
    key: random key of the data.
    folder: where drawn images are kept for the next start of the run.

  Returns:
    `HandImages`: tests at the side that the second teacher sees, training
    images `data.detail` times as large.

  Raises:
    ValueError, OSError: one line that says what is wrong with the data.
  """
  data = config.data
  size = hand_settings.shown(config)
  sizes = {'train': round(size * data.detail), 'valid': size}
  training, tests, classes, skipped = [], {}, hands.GESTURES, ()
  share, held_out = ending.share(config), []

  def keep_apart(arrays):
    """Images for training; the rest joins `held_out`."""
    if not share:
      return arrays
    # Another seed is another choice, and so is another set.
    rank = np.random.default_rng([config.seed, len(held_out)])
    order = rank.permutation(len(arrays['image']))
    count = max(round(share * len(order)), 1)
    apart, kept = np.sort(order[:count]), np.sort(order[count:])
    held_out.append({name: array[apart] for name, array in arrays.items()})
    return {name: array[kept] for name, array in arrays.items()}

  if data.name != 'hands':
    annotations = {
      split: boxes.read(
        data.dir,
        form=data.name,
        split=split,
        names=hands.GESTURES if data.images else None,
        bad=data.bad,
      )
      for split in ('train', 'valid')
    }
    classes = annotations['train'].names
    if annotations['valid'].names != classes:
      raise ValueError(
        f'{data.dir}: the classes of train {classes} and valid '
        f'{annotations["valid"].names} differ; make them the same'
      )
    loaded = {k: boxes.load(v, size=sizes[k]) for k, v in annotations.items()}
    # An image that comes more than once is held out with all its copies.
    training += [keep_apart(loaded['train'].arrays)] * data.repeat
    tests[''] = loaded['valid'].arrays
    skipped = tuple(
      name
      for split in ('train', 'valid')
      for name in (*annotations[split].skipped, *loaded[split].skipped)
    )
  if data.images:
    streams = jax.random.split(key, 4)
    palms = round(data.images * data.palms)
    drawn = functools.partial(_draw_once, folder, difficulty=data.difficulty)
    training += [
      keep_apart(drawn(stream, number, size=sizes['train'], **pins))
      for stream, number, pins in (
        (streams[_TRAINING], data.images - palms, {}),
        (streams[_PALMS], palms, open_palms(streams[_ANGLES], palms)),
      )
      if number
    ]
    tests[', drawn hands' if tests else ''] = drawn(
      streams[_EVALUATION], data.evaluation_images, size=size
    )
  training = _join(training)
  apart = _join(held_out) if held_out else None
  return HandImages(
    training,
    tests,
    classes,
    skipped,
    _digest([training, *tests.values(), *([apart] if apart else [])]),
    apart,
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

  def draw_chunk(index):
    logging.log_every_n_seconds(
      logging.INFO, 'drawing hands: %d of %d', 10, index[0], number
    )
    return hands.draw_batch(
      key,
      index,
      size=size,
      difficulty=difficulty,
      **{
        name: pin if np.ndim(pin) == 0 else np.asarray(pin)[index]
        for name, pin in pins.items()
      },
    )

  return chunks.apply(draw_chunk, np.arange(number), sizes=(_CHUNK,))


def open_palms(key, number):
  """Pins of `draw`: one open palm an image, facing us, at any rotation."""
  angle = jax.random.uniform(key, (number,), minval=-np.pi, maxval=np.pi)
  return {
    'count': 1,
    'gesture': hands.GESTURES.index('five'),
    'facing': True,
    'angle': np.asarray(angle),
  }


def _draw_once(folder, key, number, **settings):
  """`draw`, or what it drew before into a folder.

  A run that goes on takes what it has learned from, whatever would be drawn by
  now. Pins follow from the key.
  """
  said = [jax.random.key_data(key).tolist(), number, *sorted(settings.items())]
  name = hashlib.sha256(repr(said).encode()).hexdigest()[:16]
  path = pathlib.Path(folder) / f'{name}.npz'
  if not path.is_file() and processes.is_first():
    path.parent.mkdir(parents=True, exist_ok=True)
    drawn = draw(key, number, **settings)
    files.write_file(path, functools.partial(np.savez, **drawn))
  processes.wait(f'drawn {name}')
  try:
    with np.load(path) as stored:
      return dict(stored)
  except (ValueError, OSError, zipfile.BadZipFile) as error:
    raise ValueError(f'{path} is damaged: delete it') from error


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

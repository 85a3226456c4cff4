"""Hands in a photo: box, gesture, palm frame, left or right.

The first look is at the whole photo. Hands are small there, so the second is at
a square around each that was found, in which a hand is as large as those that
the network learned from; what it sees of the hand replaces what was seen
before, so that the first may pass on what it is half sure of. The third is that
of another network, which reads the palm frame of open hands closely
(`networks.palm_frame`): it replaces the palm frame, and whether the palm faces
the camera.

Each look of the detector is one at mirror images and smaller ones, too
(`networks.hand`): several times the time, fewer errors.

  find = finder.load()
  for hand in find(photo):
    print(hand.gesture, hand.side, hand.box)

All places are (x, y) in pixels of the photo.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import chex
import jax
import numpy as np

from palmjax.evals.detection import box_matching
from palmjax.images import letterbox, photo, roi
from palmjax.networks import hand as hand_networks
from palmjax.networks import palm_frame as palm_frame_networks
from palmjax.networks import shipped

LOOKS = 3
# A score is a mean over several passes, and lower than the score of one pass.
# With 0.3, 0.25 and 0.2 a hand is found on 1, 8 and 26 of 100 drawn images that
# show none. Of 100 hands on photographs 11, 5 and 1 are missed; these are the
# 154 photographs of the validation part of `gesture_boxes`.
SCORE = 0.25

# Of the score that is asked for, what a first look needs for a closer one.
_HALF_SURE = 0.5

# Gestures whose fingers hide no valley: the others have no palm frame.
OPEN_GESTURES = ('four', 'five', 'ok')
# Of drawn open hands, whose boxes are not cut off, the valleys lie 0.22 of the
# hand's size apart or more: nearer ones are not those of a palm.
_SPREAD = 0.17
# Share of the square of a second look that the hand takes: within what the
# closer looks of the training have (`data.augment.boxes.CLOSER_FILL`).
FILL = 0.65
# A hand of the second look is the one of the first where they overlap so much.
_SAME = 0.3
# Two that overlap so much are one hand, seen twice.
_TWICE = 0.5

_is_left = jax.jit(roi.is_left)


class Hand(NamedTuple):
  """A hand in a photo: box, gesture, score, palm frame.

  Attributes:
    box: float64 [4], x0, y0, x1, y1 in pixels of the photo.
    gesture: name of the class.
    score: of the gesture, in [0, 1].
    points: float64 [3, 2], the palm frame of `images.roi`; without meaning
      where not `framed`.
    facing: probability that the palm faces the camera, not the back.
  """

  box: np.ndarray
  gesture: str
  score: float
  points: np.ndarray
  facing: float

  @property
  def framed(self):
    """Whether the hand is open and its palm frame is usable."""
    first, second, _ = self.points
    size = np.sqrt(np.prod(self.box[2:] - self.box[:2]))
    spread = np.linalg.norm(second - first) >= _SPREAD * size
    return self.gesture in OPEN_GESTURES and bool(spread)

  @property
  def shows_palm(self):
    """Whether the palm can be cut out of the photo."""
    return self.framed and self.facing >= 0.5

  @property
  def side(self):
    """'left', 'right', or None where it is not known."""
    if not self.framed:
      return None
    left = _is_left(self.points, self.facing >= 0.5)
    return 'left' if left else 'right'


def load(directory=None, *, palm_frame=None, looks=LOOKS, score=SCORE):
  """Loads a trained detector and a trained reader of palm frames for use.

  Args:
    directory: export of a detector of configs/gesture.py; None takes that of
      the package.
    palm_frame: export of a reader of palm frames, likewise.
    looks: 1, 2 or 3 (module docstring).
    score: a detection with less is no hand.

  Returns:
    find: photo uint8 [H, W, 3] (RGB, upright) → list of `Hand`, best first.

  Raises:
    ValueError, OSError: there is no whole export in the folder.
  """
  folder = functools.partial(shipped.folder, config='configs/gesture.py')
  network = hand_networks.load(folder(directory, shipped.HAND), passes=True)
  return functools.partial(
    find,
    network.detect,
    classes=network.classes,
    size=network.image_size,
    reader=palm_frame_networks.load(folder(palm_frame, shipped.PALM_FRAME))
    if looks > 2
    else None,
    looks=looks,
    score=score,
  )


def find(
  detect: Callable,
  image,
  *,
  classes,
  size,
  reader=None,
  looks=LOOKS,
  score=SCORE,
):
  """Finds the hands in a photo.

  Args:
    detect: uint8 [1, size, size, 3] → objects, as `networks.hand.HandDetector`.
    image: the photo, uint8 [H, W, 3], upright.
    classes: names of the classes of `detect`.
    size: side of what it looks at, in pixels.
    reader: `networks.palm_frame.PalmFrameReader`, of a third look.
    looks: 1, 2 or 3 (module docstring).
    score: a detection with less is no hand.

  Returns:
    list of `Hand`, best first.

  Raises:
    ValueError: another number of looks, a third one without a reader, or no RGB
      image of bytes.
  """
  if looks not in (1, 2, 3):
    raise ValueError(f'looks={looks}: give 1, 2 or 3')
  if looks > 2 and reader is None:
    raise ValueError('looks=3 needs a reader of palm frames: give it, or 2')
  image = np.asarray(image)
  if image.dtype != np.uint8 or image.shape[2:] != (3,) or not image.size:
    raise ValueError(
      f'a photo of type {image.dtype} and shape {image.shape}; give uint8 H×W×3'
    )

  look = functools.partial(
    _look,
    detect,
    shape=image.shape,
    classes=classes,
    score=score if looks == 1 else _HALF_SURE * score,
  )
  hands = look(letterbox.fit(image, size=size))
  if looks > 1:
    closer = [_closer(look, image, hand, size) for hand in hands]
    hands = _once([hand for hand in closer if hand.score >= score])
  if looks > 2:
    hands = [_read(reader, image, hand) for hand in hands]
  return hands


def _look(detect, square, *, shape, classes, score):
  """The hands in a square of a photo, in pixels of the photo, best first.

  Args:
    detect: as in `find`.
    square: `letterbox.Fitted` or `photo.Square`.
    shape: of the photo.
    classes, score: as in `find`.
  """
  objects = {
    name: values[0] for name, values in detect(square.image[None]).items()
  }
  chex.assert_shape(objects['points'], (None, 3, 2))
  result = []
  for k in np.flatnonzero(objects['scores'] >= score):
    x0, y0, x1, y1 = np.asarray(objects['boxes'][k], np.float64)
    corners = np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]])
    corners = square.place_back(corners)
    box = np.concatenate([corners.min(axis=0), corners.max(axis=0)])
    box = np.clip(box, 0, [shape[1], shape[0]] * 2)
    # In the grey around the photo there is nothing; a network that learned
    # little finds sizes below zero.
    if min(x1 - x0, y1 - y0, *(box[2:] - box[:2])) <= 0:
      continue
    result.append(
      Hand(
        box=box,
        gesture=classes[objects['classes'][k]],
        score=float(objects['scores'][k]),
        points=square.place_back(np.asarray(objects['points'][k], np.float64)),
        facing=float(objects['facing'][k]),
      )
    )
  return _once(result)


def _once(hands):
  """Without hands that a better one overlaps, best first."""
  kept = []
  for hand in sorted(hands, key=lambda hand: -hand.score):
    if not any(_overlap(hand, other) >= _TWICE for other in kept):
      kept.append(hand)
  return kept


def _closer(look, image, hand, size):
  """The hand as a look at a square around it shows it."""
  square = photo.cut(image, **_around(hand), size=size)
  best = max(
    look(square), key=lambda detection: _overlap(detection, hand), default=None
  )
  if best is None or _overlap(best, hand) < _SAME:
    return hand
  return best


def _read(reader, image, hand):
  """The hand with palm frame and facing as the reader sees them."""
  if hand.gesture not in OPEN_GESTURES:
    return hand
  read = palm_frame_networks.correct(reader, image, hand.points)
  if read is None:
    return hand
  points, facing = read
  return hand._replace(points=points, facing=facing)


def _around(hand):
  """Of the square in which the hand takes `FILL`."""
  return {
    'centre': (hand.box[:2] + hand.box[2:]) / 2,
    'side': (hand.box[2:] - hand.box[:2]).max() / FILL,
  }


def _overlap(first, second):
  return box_matching.iou(first.box, second.box)

"""Photos of painted hands, and networks that read the paint."""

import types

import numpy as np

from palmjax.inference import finder

SIZE = 96
READ = 64  # Side of what the reader sees.
CLASSES = ('fist', 'five')
FIST, FIVE = range(2)
# The palm frame of a left palm with d = 1, and points around the hand.
PALM_FRAME = np.array([[-0.5, 0.0], [0.5, 0.0], [0.2, 2.3]])
TURN = np.linspace(0, 2 * np.pi, 40, endpoint=False)
OUTLINE = np.stack([1.2 * np.cos(TURN), 0.4 + 2.2 * np.sin(TURN)], axis=-1)


def place(points, *, angle, d, centre, left=True):
  """Points of the palm in pixels: turned clockwise about (0, 0.4), enlarged."""
  c, s = np.cos(angle), np.sin(angle)
  points = points * [1 if left else -1, 1] - [0, 0.4]
  return d * points @ np.array([[c, s], [-s, c]]) + centre


def hand(*, label=FIVE, score=0.9, facing=0.8, **placing):
  """A hand as the stand-in is told it."""
  return {
    'outline': place(OUTLINE, **placing),
    'points': place(PALM_FRAME, **placing),
    'class': label,
    'score': score,
    'facing': facing,
  }


def paint(shape):
  """Red tells x, green y; blue tells the photo from the grey around it."""
  y, x = np.mgrid[: shape[0], : shape[1]] + 0.5
  red, green = 255 * x / shape[1], 255 * y / shape[0]
  colours = np.stack([red, green, np.full(shape, 230.0)], axis=-1)
  return np.round(colours).astype(np.uint8)


def transform_of(image, shape, *, turned):
  """The affine map from the pixels of a look to the photo, [2, 3].

  Args:
    image: [S, S, 3], what `paint` painted, seen in the look.
    shape: of the photo.
    turned: cut out of the photo; there Pillow cuts fractions of colours off.
  """
  image = np.asarray(image, float)
  y, x = np.mgrid[: len(image), : len(image)] + 0.5
  inside = (image[..., 2] > 225) & (image[..., :2] < 250).all(axis=-1)
  inside &= (image[..., :2] > 5).all(axis=-1)
  rows = np.stack([x, y, np.ones_like(x)], axis=-1)[inside]
  colours = image[inside][:, :2] + (0.5 if turned else 0.0)
  colours *= np.array(shape[1::-1]) / 255
  return np.linalg.lstsq(rows, colours, rcond=None)[0].T


def stand_in_reader(photo, hands):
  """A reader of palm frames that knows the hands; see `Network`.

  Returns:
    (`networks.palm_frame.PalmFrameReader`, list of its crops' transforms).
  """
  transforms = []

  def read(images):
    side = images.shape[1]
    assert images.shape == (1, side, side, 3)
    transform = transform_of(images[0], photo.shape, turned=True)
    transforms.append(transform)
    middle = transform @ [side / 2, side / 2, 1]
    near = min(
      hands, key=lambda one: np.linalg.norm(one['points'].mean(0) - middle)
    )
    points = (near['points'] - transform[:, 2]) @ np.linalg.inv(
      transform[:, :2]
    ).T
    points = points / side - 0.5
    if points[0, 0] > points[1, 0]:
      points = points[[1, 0, 2]]
    return points[None], np.array([0.7])

  return types.SimpleNamespace(read=read, image_size=READ), transforms


class Network:
  """Stands in for a detector that finds what is there.

  Attributes:
    transforms: affine map from the pixels of each look to the photo, [2, 3].
  """

  def __init__(self, photo, hands, *, shake=0.0, only=None):
    """Args: `shake`: error in pixels of the look; `only`: looks that see."""
    self.shape, self.hands, self.transforms = photo.shape[:2], hands, []
    self.shake, self.only = shake, only

  def __call__(self, images):
    assert images.shape == (1, SIZE, SIZE, 3)
    transform = transform_of(
      images[0], self.shape, turned=bool(self.transforms)
    )
    self.transforms.append(transform)
    result = {
      'boxes': np.zeros((1, 8, 4)),
      'scores': np.zeros((1, 8)),
      'classes': np.zeros((1, 8), int),
      'points': np.zeros((1, 8, 3, 2)),
      'facing': np.zeros((1, 8)),
    }
    if self.only is not None and len(self.transforms) not in self.only:
      return result
    back = np.linalg.inv(transform[:, :2])
    for k, one in enumerate(self.hands):
      outline = (one['outline'] - transform[:, 2]) @ back.T
      result['boxes'][0, k] = *outline.min(axis=0), *outline.max(axis=0)
      points = (one['points'] - transform[:, 2]) @ back.T
      result['points'][0, k] = points + self.shake * np.array([0.6, -0.8])
      result['scores'][0, k] = one['score']
      result['facing'][0, k] = one['facing']
      result['classes'][0, k] = one['class']
    return result


def find(photo, network, *, looks=2, reader=None, score=0.3):
  if looks == 3 and reader is None:
    reader, _ = stand_in_reader(photo, network.hands)
  return finder.find(
    network,
    photo,
    classes=CLASSES,
    size=SIZE,
    reader=reader,
    looks=looks,
    score=score,
  )


PHOTOS = [
  ((700, 1000), {'angle': 0.0, 'd': 60.0, 'centre': (300, 350)}),
  ((1000, 500), {'angle': 2.5, 'd': 50.0, 'centre': (240, 600)}),
  ((90, 100), {'angle': -1.4, 'd': 12.0, 'centre': (55, 40)}),
  ((2000, 2100), {'angle': -3.0, 'd': 70.0, 'centre': (1700, 400)}),
]

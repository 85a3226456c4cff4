"""From the palm frame of a hand in an image to the upright picture of its palm.

The palm frame is three points: a, the valley between index and middle finger;
b, the valley between ring and little finger; the wrist. With d = |b − a|, m the
midpoint of a and b, v the unit vector across b − a on the wrist's side and h =
(v_y, −v_x), which is v turned by −90°, the region of interest (ROI) is the
square

  p(x, y) = m + d v + 1.8 d (x h + y v),    x, y in [−½, ½]

from 0.1 d to 1.9 d below the valleys: fingers up, whatever the rotation and
size of the hand. Nothing is mirrored, so the thumb side is left in the ROI of a
left palm and right in that of a right palm, where the palm faces the camera.

Points are (x, y) in pixels, x right, y down, the pixel in row i and column j
covering [j, j + 1] × [i, i + 1].
"""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from palmjax.ops import warp

# Of the ROI, in distances d of the valleys.
SIDE = 1.8
CENTRE = 1.0
# Two valleys in one place have no direction.
_TINY = 1e-6


def frame_transform(points, *, side=SIDE, centre=CENTRE):
  """The map from the ROI, or another such square, to the image.

  Args:
    points: float [..., 3, 2], palm frames in pixels.
    side: of the square, in distances of the valleys.
    centre: how far below the valleys its centre lies, likewise.

  Returns:
    float32 [..., 3, 3]: takes (x, y, 1), x and y in [−½, ½] as in `ops.warp`,
    to (x, y, 1) in pixels of the image.
  """
  centre, across, down = _frame(points, side, centre)
  columns = jnp.stack([across, down, centre], axis=-1)
  last = jnp.broadcast_to(jnp.array([0.0, 0.0, 1.0]), (*centre.shape[:-1], 3))
  return jnp.concatenate([columns, last[..., None, :]], axis=-2)


def corners(points):
  """Corners of the ROI in the image: float32 [..., 4, 2].

  In the ROI's own order: upper left, upper right, lower right, lower left.
  """
  centre, across, down = (part[..., None, :] for part in _frame(points))
  x = jnp.array([-0.5, 0.5, 0.5, -0.5])[:, None]
  y = jnp.array([-0.5, -0.5, 0.5, 0.5])[:, None]
  return centre + x * across + y * down


def side_in_image(points):
  """Side of the ROI in the image, in pixels: float.

  Args:
    points: float [3, 2], palm frame.
  """
  chex.assert_shape(points, (3, 2))
  return float(SIDE * np.linalg.norm(np.subtract(points[1], points[0])))


def is_left(points, facing=True):
  """Whether the hand is a left one: bool [...].

  Args:
    points: float [..., 3, 2], palm frames.
    facing: bool [...], whether the palm faces the camera, not the back.
  """
  first, second, wrist = jnp.moveaxis(jnp.asarray(points, jnp.float32), -2, 0)
  side = _cross(second - first, wrist - (first + second) / 2)
  return (side > 0) == jnp.asarray(facing)


def outside(points, shape):
  """Share of the ROI that lies outside the image, within 0.001.

  Args:
    points: float [..., 3, 2], palm frames.
    shape: (H, W) of the image.

  Returns:
    float32 [...] in [0, 1].
  """
  position = (jnp.arange(64) + 0.5) / 64 - 0.5
  centre, across, down = (part[..., None, None, :] for part in _frame(points))
  place = centre + position[:, None] * across + position[:, None, None] * down
  size = jnp.asarray(shape, jnp.float32)[::-1]
  inside = jnp.all((place >= 0) & (place <= size), axis=-1)
  return 1.0 - jnp.mean(inside, axis=(-2, -1), dtype=jnp.float32)


def cut(image, points, *, size):
  """Cuts the ROI out of an image; pure, to be mapped over a batch.

  A pixel of the ROI is the mean over its area, read at enough places that
  nothing between them is missed, however large the ROI is in the image. Beyond
  the border the image is mirrored.

  Args:
    image: real [H, W, C]. Of a photograph, far larger than the ROI, use
      `cut_photo`.
    points: float [3, 2], palm frame.
    size: side of the ROI in pixels.

  Returns:
    float32 [size, size, C] in the range of the image.
  """
  chex.assert_rank(image, 3)
  chex.assert_shape(points, (3, 2))
  height, width, channels = image.shape
  # A ROI as wide as the image takes this many pixels for one of its own.
  taps = -(-max(height, width) // size)
  place = warp.grid(size * taps, size * taps)
  centre, across, down = _frame(points)
  place = centre + place[..., :1] * across + place[..., 1:] * down
  place = place / jnp.array([width, height]) - 0.5
  read = warp.warp(image.astype(jnp.float32)[None], place[None])
  return read.reshape(size, taps, size, taps, channels).mean(axis=(1, 3))


def cut_photo(photo, points, *, size):
  """`cut` of a photograph of any size, compiled once for each `size`.

  Args:
    photo: uint8 [H, W, 3].
    points: float [3, 2], palm frame.
    size: side of the ROI in pixels.

  Returns:
    uint8 [size, size, 3].

  Raises:
    ValueError: a point is not finite, the two valleys are one, or more than
      half of the ROI lies outside the photograph.
  """
  chex.assert_shape(photo, (None, None, 3))
  points = np.asarray(points, np.float64)
  chex.assert_shape(points, (3, 2))
  height, width, _ = photo.shape
  distance = np.linalg.norm(points[1] - points[0])
  if not np.isfinite(points).all() or distance < _TINY:
    raise ValueError(
      'the palm frame has no direction or is not finite: find the hand again'
    )
  square, missing = map(np.asarray, _survey(points, np.array([height, width])))
  if missing > 0.5:
    raise ValueError(
      'most of the palm lies outside the image: show the whole hand'
    )

  # Means of factor × factor pixels, which leave 1 to 2 for each of the ROI.
  factor = max(1, int(SIDE * distance / size))
  start = np.floor(square.min(axis=0)).astype(int) - 2 * factor
  count = np.ceil((square.max(axis=0) - start) / factor).astype(int) + 2
  stop = start + count * factor
  x0, y0 = np.maximum(start, 0)
  x1, y1 = np.minimum(stop, (width, height))
  around = [
    (y0 - start[1], stop[1] - y1),
    (x0 - start[0], stop[0] - x1),
    (0, 0),
  ]
  # As `ops.warp` does at the border of an image.
  piece = np.pad(photo[y0:y1, x0:x1], around, mode='symmetric')
  piece = np.asarray(Image.fromarray(piece).reduce(factor))
  # The ROI's diagonal is less than 2.83 sizes. One shape, one compilation.
  canvas = 3 * size + 8
  filled = np.zeros((canvas, canvas, 3), np.uint8)
  filled[: count[1], : count[0]] = piece
  moved = (points - start) / factor
  return np.asarray(_cut_uint8(filled, moved.astype(np.float32), size=size))


@jax.jit
def _survey(points, shape):
  return corners(points), outside(points, shape)


@functools.partial(jax.jit, static_argnames='size')
def _cut_uint8(image, points, *, size):
  return jnp.round(cut(image, points, size=size)).astype(jnp.uint8)


def _frame(points, length=SIDE, height=CENTRE):
  """(centre, side along x, side along y) of a square, each [..., 2]."""
  points = jnp.asarray(points, jnp.float32)
  chex.assert_shape(points, (..., 3, 2))
  first, second, wrist = jnp.moveaxis(points, -2, 0)
  along = second - first
  distance = jnp.maximum(jnp.linalg.norm(along, axis=-1), _TINY)[..., None]
  middle = (first + second) / 2
  side = _cross(along, wrist - middle)[..., None]
  # Across the line of the valleys, to the wrist.
  normal = jnp.stack([-along[..., 1], along[..., 0]], axis=-1) / distance
  down = normal * jnp.where(side < 0, -1.0, 1.0)
  across = jnp.stack([down[..., 1], -down[..., 0]], axis=-1)
  scale = length * distance
  return middle + height * distance * down, scale * across, scale * down


def _cross(first, second):
  """z of the cross product: positive if `second` is clockwise, y being down."""
  return first[..., 0] * second[..., 1] - first[..., 1] * second[..., 0]

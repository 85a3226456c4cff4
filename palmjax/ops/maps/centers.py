"""Objects as points: annotations to centre maps and back (arXiv:1904.07850).

Coordinates are continuous, x to the right and y down; a cell of a map covers
R × R pixels of the image. An object of class k with centre c has

  cell c̃ = floor(c / R),   offset c / R − c̃,   size (w, h) / R,
  Y_k(p) = exp(−|p − c̃|² / 2σ²) where |p − c̃|_∞ ≤ r,   σ = (2r + 1) / 6,

and Y is the largest over the objects of a class. r is so small that a box of
this size with its centre that far off overlaps the object well. The three
points of a palm frame are stored relative to its cell, in cells, and once
more as in `points`. Decoding takes the cells that no neighbour exceeds, best
first, and suppresses nothing.

The neighbours of c̃ tell the same size, and offset and points as seen from them:
a peak that is one cell off has the right box, and every object teaches nine
cells (the idea of arXiv:1909.00700, without its weights). Published are the
objects' own cells alone: `cells=1`.
"""

import types

import chex
import jax
import jax.numpy as jnp
from jax import lax

from palmjax.ops.maps import cells as map_cells
from palmjax.ops.maps import points as point_maps

# Intersection over union that a box within the radius keeps.
_OVERLAP = 0.7
# Map of palm frames: x and y of three points, then the logit of a palm that
# faces us.
PALM_FRAME_VALUES = 7
# Of the maps beside that of the classes.
VALUES = types.MappingProxyType(
  {
    'size': 2,
    'offset': 2,
    'palm_frame': PALM_FRAME_VALUES,
    'points': point_maps.VALUES,
  }
)


def gaussian_radius(height, width, *, form='published'):
  """Gaussian radius of a heatmap: shift that keeps an IoU of 0.7.

  With s = h + w, A = hw and overlap o, the corners of the box may move by

    both alike     r² − s r + A (1 − o) / (1 + o) = 0
    both inward    4r² − 2s r + A (1 − o) = 0
    both outward   4o r² + 2o s r − A (1 − o) = 0

  and the radius is the smallest root. CornerNet and CenterNet divide by 2 where
  2a is due and take the larger roots of the first two: theirs, 'published', is
  always 4o times the third one.

  Args:
    height, width: float > 0, of one shape.
    form: 'published' or 'fixed'.

  Returns:
    float of that shape, in the same unit, not rounded.

  Raises:
    ValueError: another form.
  """
  chex.assert_equal_shape([height, width])
  s, o = height + width, _OVERLAP
  lost = (1 - o) * height * width
  # −b ± √(b² − 4ac) with the small root's cancellation taken out.
  outward = lost / (o * s + jnp.sqrt((o * s) ** 2 + 4 * o * lost))
  match form:
    case 'published':
      return 4 * o * outward
    case 'fixed':
      moved = lost / (1 + o)
      alike = 2 * moved / (s + jnp.sqrt(s**2 - 4 * moved))
      inward = lost / (s + jnp.sqrt(s**2 - 4 * lost))
      return jnp.minimum(jnp.minimum(alike, inward), outward)
    case other:
      raise ValueError(f"radius {other!r}: use 'published' or 'fixed'")


def encode(
  annotations, *, shape, num_classes, stride, radius='published', cells=9
):
  """Target maps of a detector from annotations: heatmap, size, offset.

  Rows that are not valid, have no area or whose centre lies outside the image
  are no objects.

  Args:
    annotations: {'boxes': float [B, M, 4] as (x0, y0, x1, y1) in pixels,
      'classes': int [B, M], 'valid': bool [B, M], 'points': float [B, M, 3, 2]
      as (x, y) in pixels, 'framed': bool [B, M], whether the points are known,
      'facing': bool [B, M]}; other entries are not read.
    shape: (h, w) of the maps.
    num_classes: C.
    stride: R, pixels a cell.
    radius: see `gaussian_radius`; of height and width rounded up to cells.
    cells: 9, or 1 for the objects' own cells alone, as published.

  Returns:
    {'heatmap': float32 [B, h, w, C] in [0, 1], 'cells': int32 [B, R], R =
    cells·M, row · w + column of c̃, then of its neighbours (`cells.spread`),
    'present': bool [B, R], 'size', 'offset': [B, R, 2], 'palm_frame':
    [B, R, 3, 2], 'framed', 'facing': bool [B, R]}, where not present 0 or
    False, and what `points.encode` returns. Lengths in cells.

  Raises:
    ValueError: another radius or number of cells.
  """
  if cells not in (1, 9):
    raise ValueError(f'{cells} cells of an object: use 1 or 9')
  boxes, points = annotations['boxes'], annotations['points']
  chex.assert_rank([boxes, points], [3, 4])
  batch, objects = boxes.shape[:2]
  chex.assert_shape(boxes, (batch, objects, 4))
  chex.assert_shape(points, (batch, objects, 3, 2))
  flags = [annotations[name] for name in ('valid', 'framed', 'facing')]
  chex.assert_shape([annotations['classes'], *flags], (batch, objects))
  valid, framed, facing = flags

  low, high = boxes[..., :2] / stride, boxes[..., 2:] / stride
  size, centre = high - low, (low + high) / 2
  cell = jnp.floor(centre)
  points = points / stride
  objects = valid & jnp.all(size > 0, axis=-1) & map_cells.inside(cell, shape)
  width, height = jnp.unstack(jnp.maximum(jnp.ceil(size), 1.0), axis=-1)
  reach = jnp.floor(gaussian_radius(height, width, form=radius))
  index, present = map_cells.spread(cell, objects, shape, count=cells)

  def of_present(values):
    mask = present.reshape(*present.shape, *[1] * (values.ndim - 2))
    return jnp.where(mask, values, 0)

  def everywhere(values):
    """The same from every neighbour."""
    repeats = (1, cells, *[1] * (values.ndim - 2))
    return of_present(jnp.tile(values, repeats))

  def seen(places):
    return of_present(map_cells.seen_from_neighbours(places, count=cells))

  return {
    'heatmap': map_cells.heatmap(
      cell,
      reach,
      # Out of range: in no class.
      jnp.where(objects, annotations['classes'], num_classes),
      shape=shape,
      num_classes=num_classes,
    ),
    'cells': index,
    'present': present,
    'size': everywhere(size),
    'offset': seen(centre - cell),
    'palm_frame': seen(points - cell[..., None, :]),
    'framed': everywhere(framed) > 0,
    'facing': everywhere(framed & facing) > 0,
    **point_maps.encode(
      points,
      boxes / stride,
      reach,
      framed=objects & framed,
      unframed=objects & ~framed,
      shape=shape,
      count=cells,
    ),
  }


def mirror(maps):
  """Mirrors maps left to right, so that they fit the unmirrored image.

  What lies x cells right of a cell's left border lies 1 − x cells right of that
  of the mirrored cell. Palms that face the camera still do, and the valleys
  keep their fingers.

  Args:
    maps: as in `decode`.
  """

  def across(values, first):
    """Values of which x stands at `first`, `first` + 2, …"""
    return values.at[..., first::2].set(1.0 - values[..., first::2])

  flipped = {name: values[:, :, ::-1] for name, values in maps.items()}
  palm_frame = flipped['palm_frame']
  return {
    **flipped,
    'offset': across(flipped['offset'], 0),
    'palm_frame': jnp.concatenate(
      [across(palm_frame[..., :-1], 0), palm_frame[..., -1:]], axis=-1
    ),
    'points': across(flipped['points'], point_maps.KINDS),
  }


def resize(maps, shape):
  """Resizes maps to a grid of another size, by linear interpolation.

  What is told relative to a cell is told relative to the new one, what is
  measured in cells is measured in the new ones.

  Args:
    maps: as in `decode`.
    shape: (h, w) of the result.
  """
  batch, *old = maps['class'].shape[:3]
  if tuple(old) == tuple(shape):
    return maps
  factor = jnp.array([shape[1] / old[1], shape[0] / old[0]])  # Of (x, y).

  def to_grid(values):
    # Without a filter: a blob of few cells keeps its height.
    full = (batch, *shape, values.shape[-1])
    return jax.image.resize(values, full, 'linear', antialias=False)

  def places(values):
    """Of (x, y) pairs, told relative to cells."""
    pairs = values.reshape(*values.shape[:-1], -1, 2)
    fixed = (pairs + map_cells.grid(old)[:, :, None]) * factor
    moved = to_grid(fixed.reshape(values.shape))
    pairs = moved.reshape(*moved.shape[:-1], -1, 2)
    return (pairs - map_cells.grid(shape)[:, :, None]).reshape(moved.shape)

  def apart(values, split, first, second):
    """Two kinds of values in one map."""
    parts = first(values[..., :split]), second(values[..., split:])
    return jnp.concatenate(parts, axis=-1)

  return {
    'class': to_grid(maps['class']),
    'size': to_grid(maps['size'] * factor),
    'offset': places(maps['offset']),
    'palm_frame': apart(
      maps['palm_frame'], PALM_FRAME_VALUES - 1, places, to_grid
    ),
    'points': apart(maps['points'], point_maps.KINDS, to_grid, places),
  }


def decode(maps, *, stride, count=100):
  """The best objects that the maps of a detector show.

  Args:
    maps: {'class': logits [B, h, w, C], 'size', 'offset': [B, h, w, 2],
      'palm_frame': [B, h, w, 7], 'points': [B, h, w, 9]}, lengths in cells.
    stride: R, pixels a cell.
    count: K, at most h·w·C.

  Returns:
    {'boxes': [B, K, 4] in pixels, 'scores': [B, K] in [0, 1], descending,
    'classes': int32 [B, K], 'points': [B, K, 3, 2] in pixels, 'facing': [B, K],
    probability}. What is no peak has score 0.

  Raises:
    ValueError: more objects wanted than the maps have values.
  """
  logits = maps['class']
  chex.assert_rank(logits, 4)
  batch, height, width, num_classes = logits.shape
  for name, values in VALUES.items():
    chex.assert_shape(maps[name], (batch, height, width, values))
  if count > logits[0].size:
    raise ValueError(
      f'{count} objects wanted of maps with {logits[0].size} values: ask for '
      'fewer'
    )
  # Of logits: large ones all have the sigmoid 1.
  highest = lax.reduce_window(
    logits, -jnp.inf, lax.max, (1, 3, 3, 1), (1, 1, 1, 1), 'SAME'
  )
  peaks = jnp.where(logits == highest, logits, -jnp.inf)
  values, index = lax.top_k(peaks.reshape(batch, -1), count)
  cells, classes = index // num_classes, index % num_classes
  cell = jnp.stack([cells % width, cells // width], axis=-1)

  size, offset, palm_frame = (
    map_cells.at_cells(maps[name], cells)
    for name in ('size', 'offset', 'palm_frame')
  )
  # What an untrained network says of sizes need not be one.
  size = jnp.maximum(size, 0.0)
  centre = cell + offset
  points = palm_frame[..., :-1].reshape(batch, count, 3, 2) + cell[:, :, None]
  points = point_maps.refine(points, size, maps['points'])
  boxes = jnp.concatenate([centre - size / 2, centre + size / 2], axis=-1)
  return {
    'boxes': boxes * stride,
    'scores': jax.nn.sigmoid(values),
    'classes': classes,
    'points': points * stride,
    'facing': jax.nn.sigmoid(palm_frame[..., -1]),
  }

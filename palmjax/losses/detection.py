"""Losses of a detector of centre points (arXiv:1904.07850, section 3).

  L = Σ_j w_j L_j,  j: class, size, offset, palm_frame, facing, points, place

  class       −1/N Σ (1 − p)² log p            where Y = 1,
                     (1 − Y)⁴ p² log(1 − p)    elsewhere,
              p the sigmoid of the logits, N the number of values with Y = 1
  size        |w − ŵ| + |h − ĥ| at the cells of objects; so does offset
  palm_frame  distance of its three points, in shares of the hand's size
  facing      cross-entropy of "the palm faces the camera"
  points      as class, of the heatmaps of the three points, where known
  place       |x − x̂| + |y − ŷ| of the offsets at the cells of points

The weights of class, size and offset are CenterNet's. So is the divisor of size
and offset with one cell for each object: all their values, two a cell. The
others are ours; they read the objects whose palm frame is known. It is
relative so that a small hand's error counts as much: what is cut out scales
with it.
"""

import types

import chex
import jax
import jax.numpy as jnp
import optax

from palmjax.ops.maps import cells
from palmjax.ops.maps import points as point_maps

WEIGHTS = types.MappingProxyType(
  {
    'class': 1.0,
    'size': 0.1,
    'offset': 1.0,
    'palm_frame': 1.0,
    'facing': 0.1,
    'points': 1.0,
    'place': 1.0,
  }
)
# The terms that read palm frames.
OF_PALM_FRAMES = ('palm_frame', 'facing', 'points', 'place')
# Probabilities keep this distance from 0 and 1 (CenterNet).
_MARGIN = 1e-4
_EPSILON = 1e-4


def focal_loss(logits, heatmap, known=None):
  """Focal loss of the class heatmaps (CenterNet), divided by the centres.

  Args:
    logits: float [B, h, w, C].
    heatmap: float [B, h, w, C] in [0, 1], exactly 1 at centres.
    known: bool [B, h, w], cells that count, centres always do; None: all.

  Returns:
    float32 scalar; without any centre the sum itself.
  """
  chex.assert_rank(logits, 4)
  chex.assert_equal_shape([logits, heatmap])
  p = jnp.clip(jax.nn.sigmoid(logits), _MARGIN, 1 - _MARGIN)
  centres = heatmap == 1
  terms = jnp.where(
    centres,
    (1 - p) ** 2 * jnp.log(p),
    (1 - heatmap) ** 4 * p**2 * jnp.log(1 - p),
  )
  if known is not None:
    chex.assert_shape(known, logits.shape[:-1])
    terms = jnp.where(centres | known[..., None], terms, 0.0)
  return -jnp.sum(terms) / jnp.maximum(jnp.sum(centres), 1)


def masked_mean(values, mask):
  """Mean of values [B, M, ...] over the rows of a mask [B, M], or 0."""
  chex.assert_equal_shape_prefix([values, mask], 2)
  mask = mask.reshape(*mask.shape, *[1] * (values.ndim - 2))
  count = jnp.sum(jnp.broadcast_to(mask, values.shape))
  return jnp.sum(jnp.where(mask, values, 0.0)) / (count + _EPSILON)


def detection_loss(maps, targets, *, weights=WEIGHTS):
  """Total loss L of a detector's maps: a weighted sum of all terms.

  Args:
    maps: {'class': logits [B, h, w, C], 'size', 'offset': [B, h, w, 2],
      'palm_frame': [B, h, w, 7], 'points': [B, h, w, 9]}, lengths in cells.
    targets: of `ops.maps.centers.encode`.
    weights: w_j by name.

  Returns:
    The loss, and {name: L_j}, not weighted: float32 scalars. Terms without an
    object, or without a known point, are 0, except that of the class.
  """
  size, offset, palm_frame = (
    cells.at_cells(maps[name], targets['cells'])
    for name in ('size', 'offset', 'palm_frame')
  )
  present, framed = targets['present'], targets['framed']
  points = palm_frame[..., :-1].reshape(targets['palm_frame'].shape)
  # At least a cell: nobody can tell the points of a smaller hand apart.
  hand = jnp.maximum(jnp.sqrt(jnp.prod(targets['size'], axis=-1)), 1.0)
  known = targets['point_present']
  place = cells.at_cells(maps['points'], targets['point_cells'])
  terms = {
    'class': focal_loss(maps['class'], targets['heatmap']),
    'size': masked_mean(jnp.abs(size - targets['size']), present),
    'offset': masked_mean(jnp.abs(offset - targets['offset']), present),
    'palm_frame': masked_mean(
      jnp.abs(points - targets['palm_frame']) / hand[..., None, None], framed
    ),
    'facing': masked_mean(
      optax.sigmoid_binary_cross_entropy(
        palm_frame[..., -1], targets['facing'].astype(jnp.float32)
      ),
      framed,
    ),
    'points': jnp.where(
      jnp.any(known),
      focal_loss(
        point_maps.logits_of(maps['points']),
        targets['point_heatmap'],
        targets['point_known'],
      ),
      0.0,
    ),
    'place': masked_mean(
      jnp.abs(point_maps.offsets_of_rows(place) - targets['point_offset']),
      known,
    ),
  }
  return weighted_sum(terms, weights), terms


def weighted_sum(terms, weights):
  """Weighted sum Σ_j w_j L_j of {name: L_j} and {name: w_j}."""
  if terms.keys() != weights.keys():
    raise ValueError(
      f'weights of {", ".join(weights)}: give those of {", ".join(terms)}'
    )
  return sum(weights[name] * term for name, term in terms.items())

"""Loss of a reader of palm frames: distances of its points, in palm widths.

  L = Σ_j w_j L_j

  valleys  mean distance of both valleys, over the palm width 2 |b − a|
  wrist    likewise of the wrist
  facing   cross-entropy of "the palm faces the camera"

Valleys are what cuts out a palm; of the wrist only its side is needed.
"""

import types

import chex
import jax.numpy as jnp
import optax

from palmjax.losses import detection

WEIGHTS = types.MappingProxyType({'valleys': 1.0, 'wrist': 0.2, 'facing': 0.05})
_EPSILON = 1e-8  # A distance of 0 has no gradient.


def palm_frame_loss(points, facing, targets, *, weights=WEIGHTS):
  """Total loss of palm frames: a weighted sum of all terms.

  Args:
    points: float [B, 3, 2], two valleys and the wrist.
    facing: float [B], logits.
    targets: {'points': [B, 3, 2], 'facing': bool [B], 'present': bool [B],
      rows that count}.
    weights: w_j by name.

  Returns:
    The loss, and {name: L_j}, not weighted: float32 scalars.
  """
  chex.assert_equal_shape([points, targets['points']])
  chex.assert_shape(points, (None, 3, 2))
  true, present = targets['points'], targets['present']
  width = 2 * jnp.linalg.norm(true[:, 1] - true[:, 0], axis=-1)
  gaps = jnp.sum(jnp.square(points - true), axis=-1)
  gaps = jnp.sqrt(gaps + _EPSILON) / jnp.maximum(width, _EPSILON)[:, None]
  unsure = optax.sigmoid_binary_cross_entropy(
    facing, targets['facing'].astype(jnp.float32)
  )
  present = jnp.repeat(present[:, None], 3, axis=1)
  terms = {
    'valleys': detection.masked_mean(gaps[:, :2], present[:, :2]),
    'wrist': detection.masked_mean(gaps[:, 2:], present[:, 2:]),
    'facing': detection.masked_mean(unsure[:, None], present[:, :1]),
  }
  return detection.weighted_sum(terms, weights), terms

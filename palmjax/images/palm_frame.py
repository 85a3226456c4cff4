"""Geometry of crops of a hand that are placed by its palm frame.

The crop of a palm frame is the square of `roi.frame_transform` with `SIDE` and
`CENTRE`: the roots of the fingers above, the wrist below, the thumb beside the
palm. A network reads the palm frame in its crop (`networks.palm_frame`).

In a crop the valleys are told apart by their places, the left one first:
mirrored crops are crops, too. Which valley is the index finger's is known from
the palm frame that the crop was made of.
"""

import jax.numpy as jnp

from palmjax.images import roi

# Of the crop, in distances d of the valleys.
SIDE = 3.2
CENTRE = 0.7


def transform(points):
  """The map from the crop to the image, as `roi.frame_transform`."""
  return roi.frame_transform(points, side=SIDE, centre=CENTRE)


def inverse(matrices):
  """Inverses of affine maps [..., 3, 3], in closed form."""
  (a, b, x), (c, d, y) = (
    jnp.unstack(row, axis=-1)
    for row in jnp.unstack(matrices[..., :2, :], axis=-2)
  )
  determinant = a * d - b * c
  zero, one = jnp.zeros_like(a), jnp.ones_like(a)
  rows = [
    [d / determinant, -b / determinant, (b * y - d * x) / determinant],
    [-c / determinant, a / determinant, (c * x - a * y) / determinant],
    [zero, zero, one],
  ]
  return jnp.stack([jnp.stack(row, axis=-1) for row in rows], axis=-2)


def apply(matrices, points):
  """Affine maps [..., 3, 3] on points [..., K, 2], in full float32."""
  linear, offset = matrices[..., :2, :2], matrices[..., None, :2, 2]
  moved = jnp.einsum('...ij,...kj->...ki', linear, points, precision='highest')
  return moved + offset


def by_side(points):
  """Palm frames [..., 3, 2] with the left valley first."""
  first, second = points[..., 0, :], points[..., 1, :]
  swap = (first[..., 0] > second[..., 0])[..., None, None]
  turned = jnp.stack([second, first, points[..., 2, :]], axis=-2)
  return jnp.where(swap, turned, points)

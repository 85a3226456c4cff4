"""From palm coordinates to image coordinates: skin stretch, then ROI placement.

A point u of the palm goes to v = u + w(u), where w is a sum of low-frequency
waves, and then to ½ + A (v − ½) / (1 + p · (v − ½)) + b: rotation, scale and
shear A, perspective p, shift b. Since the waves' gradients sum to less than 1,
the Jacobian of u + w(u) is positive everywhere.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

WAVES = ((0.5, 0.1), (-0.15, 0.55), (0.55, 0.6), (-0.7, 0.5))
# Sum over waves of |gradient| <= 4 waves x 4 x STRETCH, with latents in ±2.
STRETCH = 0.05


class Pose(NamedTuple):
  """Pose of one sample: mirror, stretch and place in the image.

  Attributes:
    mirror: scalar, 1 for a right hand, else 0.
    waves: [4, 2, 2] amplitudes: wave, (sine, cosine), (x, y).
    matrix: [2, 2] linear part.
    shift: [2] in sides.
    tilt: [2] perspective.
  """

  mirror: jax.Array
  waves: jax.Array
  matrix: jax.Array
  shift: jax.Array
  tilt: jax.Array


def pose(warp, place, mirror, difficulty):
  """Pose from latents.

  Args:
    warp: [16] latents in [-2, 2].
    place: [8] latents in [-2, 2].
    mirror: scalar, 1 for a right hand.
    difficulty: scalar in [0, 1]; 0 is the identity map.

  Returns:
    `Pose`.
  """
  d = difficulty
  length = jnp.linalg.norm(jnp.asarray(WAVES), axis=-1)[:, None, None]
  waves = d * STRETCH / (2 * jnp.pi * length) * warp.reshape(4, 2, 2)
  angle = 0.17 * d * place[0]
  cos, sin = jnp.cos(angle), jnp.sin(angle)
  turn = jnp.stack([jnp.stack([cos, -sin]), jnp.stack([sin, cos])])
  aspect, shear = 0.03 * d * place[2], 0.03 * d * place[3]
  form = jnp.stack(
    [jnp.stack([1 + aspect, shear]), jnp.stack([shear, 1 - aspect])]
  )
  return Pose(
    mirror=jnp.asarray(mirror, jnp.float32),
    waves=waves,
    matrix=jnp.exp(0.09 * d * place[1]) * turn @ form,
    # Shifts grow faster than the rest: contact sensors lose 10-30 % of a side.
    shift=(0.02 * d + 0.1 * d * d) * place[4:6],
    tilt=0.08 * d * place[6:8],
  )


def stretch(pose, points):
  """The displacement w(u): [..., 2] to [..., 2]."""
  phase = 2 * jnp.pi * points @ jnp.asarray(WAVES).T
  return jnp.sin(phase) @ pose.waves[:, 0] + jnp.cos(phase) @ pose.waves[:, 1]


def _flip(pose, points):
  x, y = points[..., 0], points[..., 1]
  return jnp.stack([x + pose.mirror * (1 - 2 * x), y], axis=-1)


def to_image(pose, points):
  """Palm coordinates [..., 2] to image coordinates [..., 2]."""
  points = _flip(pose, points)
  points = points + stretch(pose, points) - 0.5
  scale = 1 + points @ pose.tilt
  return 0.5 + pose.shift + points @ pose.matrix.T / scale[..., None]


def area(pose, points):
  """Factor [...] of area at palm coordinates [..., 2], without the stretch."""
  (a, b), (c, d) = pose.matrix
  scale = 1 + (_flip(pose, points) - 0.5) @ pose.tilt
  return (a * d - b * c) / scale**3


def to_palm(pose, points):
  """Inverse of `to_image` to about 1 % of a side; for smooth shading."""
  # In closed form: linear algebra of tiny matrices is slow to compile.
  (a, b), (c, d) = pose.matrix
  adjugate = jnp.stack([jnp.stack([d, -b]), jnp.stack([-c, a])])
  points = (points - 0.5 - pose.shift) @ adjugate.T / (a * d - b * c)
  points = 0.5 + points / (1 - points @ pose.tilt)[..., None]
  guess = points
  for _ in range(2):
    guess = points - stretch(pose, guess)
  return _flip(pose, guess)

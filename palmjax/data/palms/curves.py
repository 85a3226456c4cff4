"""Creases as curves: cubic Beziers with a random walk, tone and taper.

B(t) = (1−t)³a + 3(1−t)²t b + 3(1−t)t² c + t³ d; a stroke adds a sideways walk
Σ_k w_k cos(πkt) to it and modulates its depth by 1 + Σ_k m_k cos(πkt).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from palmjax.data.palms import random as palm_random

MODES = 6  # Cosine modes of a stroke's sideways walk and of its depth.


class Strokes(NamedTuple):
  """N creases. Lengths are in sides of the square.

  Attributes:
    control: [N, 4, 2] control points.
    depth: [N] absorbance on the centre line; 0 hides a stroke.
    width: [N] standard deviation of the Gaussian cross profile.
    span: [N, 2] curve parameters of both ends; beyond [0, 1] extrapolates.
    walk: [N, MODES] sideways displacement, in cosine modes.
    tone: [N, MODES] relative depth along the stroke, in cosine modes.
    gap: [N, 2] place in [0, 1] and strength in [0, 1] of an interruption.
  """

  control: jax.Array
  depth: jax.Array
  width: jax.Array
  span: jax.Array
  walk: jax.Array
  tone: jax.Array
  gap: jax.Array


def arch(head, tail, offset, skew):
  """Cubics [N, 4, 2] from end points [N, 2]; offset and skew [N] in chords.

  The middle control point of the quadratic is mid-point + offset · |chord| · n
  with n = (−dy, dx) / |chord| and (dx, dy) = head − tail. Skew adds what a
  quadratic cannot follow.
  """
  delta = head - tail
  normal = jnp.stack([-delta[:, 1], delta[:, 0]], axis=-1)
  middle = (head + tail) / 2 + offset[:, None] * normal
  bend = skew[:, None] * normal
  return jnp.stack(
    [
      head,
      head + 2 / 3 * (middle - head) + bend,
      tail + 2 / 3 * (middle - tail) - bend,
      tail,
    ],
    axis=1,
  )


def bezier(control, t):
  """Points of cubics: control [..., 4, 2], t broadcasting against [...]."""
  t = jnp.asarray(t)[..., None]
  a, b, c, d = (control[..., i, :] for i in range(4))
  s = 1 - t
  return s**3 * a + 3 * s * s * t * b + 3 * s * t * t * c + t**3 * d


def velocity(control, t):
  """Derivative of `bezier` by t."""
  t = jnp.asarray(t)[..., None]
  a, b, c, d = (control[..., i, :] for i in range(4))
  s = 1 - t
  return 3 * (s * s * (b - a) + 2 * s * t * (c - b) + t * t * (d - c))


def trace(strokes, count):
  """Spreads `count` points evenly over the whole length of all strokes.

  Args:
    strokes: `Strokes` of N creases; hidden ones get no points.
    count: static int.

  Returns:
    points [count, 2]; depth [count] times the way to the next point, 0 at the
    ends of a stroke; width [count]; stroke [count], the number of the stroke.
  """
  polygon = strokes.control[:, 1:] - strokes.control[:, :-1]
  extent = jnp.abs(strokes.span[:, 1] - strokes.span[:, 0])
  length = jnp.sum(jnp.linalg.norm(polygon, axis=-1), axis=-1) * extent
  length = jnp.where(strokes.depth > 0, length, 0.0)
  ends = jnp.cumsum(length)
  way = (jnp.arange(count) + 0.5) / count * ends[-1]
  stroke = jnp.searchsorted(ends, way)
  stroke = jnp.minimum(stroke, length.shape[0] - 1)

  # One gather of whole rows is cheaper than one for each attribute.
  rows = [x.reshape(x.shape[0], -1) for x in (*strokes, length, ends)]
  widths = np.cumsum([row.shape[1] for row in rows])[:-1]
  table = palm_random.settle(jnp.concatenate(rows, axis=1))
  row = table[stroke]
  control, depth, width, span, walk, tone, gap, length, end = jnp.split(
    row, widths, axis=1
  )
  control = control.reshape(count, 4, 2)
  place = jnp.clip(1 + (way[:, None] - end) / (length + 1e-9), 0.0, 1.0)
  t = (span[:, :1] + place * (span[:, 1:] - span[:, :1]))[:, 0]
  modes = jnp.cos(jnp.pi * place * jnp.arange(1, MODES + 1))
  tangent = velocity(control, t)
  speed = jnp.linalg.norm(tangent, axis=-1, keepdims=True) + 1e-6
  normal = jnp.stack([-tangent[:, 1], tangent[:, 0]], axis=-1) / speed
  points = bezier(control, t)
  points += jnp.sum(walk * modes, axis=1, keepdims=True) * normal

  taper = 1 - jnp.abs(2 * place - 1) ** 3
  hole = 1 - gap[:, 1:] * jnp.exp(-(((place - gap[:, :1]) / 0.045) ** 2))
  strength = jnp.clip(
    1 + jnp.sum(tone * modes, axis=1, keepdims=True), 0.15, 1.7
  )
  step = speed * (ends[-1] / count) * (span[:, 1:] - span[:, :1])
  step /= length + 1e-9
  depth = depth * taper * hole * strength * step
  width = width * (0.55 + 0.45 * taper)
  return points, depth[:, 0], width[:, 0], stroke


def join(*groups):
  """Concatenates several `Strokes`."""
  return jax.tree.map(lambda *parts: jnp.concatenate(parts), *groups)

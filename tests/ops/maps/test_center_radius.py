"""The radius of a peak: published numbers and double precision."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from palmjax.ops.maps import centers as center_maps

# (height, width): as published, fixed; overlap 0.7.
RADII = {
  (10, 10): (2.73320, 0.81670),
  (20, 30): (6.58125, 1.95249),
  (8, 6): (1.87733, 0.55891),
  (40, 64): (13.51477, 4.0),
}


def reference_radius(height, width, fixed):
  """All three quadratics as CornerNet writes them, in double precision."""
  o = 0.7
  coefficients = (
    (1, height + width, width * height * (1 - o) / (1 + o)),
    (4, 2 * (height + width), (1 - o) * width * height),
    (4 * o, -2 * o * (height + width), (o - 1) * width * height),
  )
  roots = []
  for index, (a, b, c) in enumerate(coefficients):
    root = math.sqrt(b**2 - 4 * a * c)
    if fixed:
      roots.append((b + (root if index == 2 else -root)) / (2 * a))
    else:
      roots.append((b + root) / 2)
  return min(roots)


@pytest.mark.parametrize('form, column', [('published', 0), ('fixed', 1)])
def test_radius_of_the_table(form, column):
  height, width = np.array(list(RADII), np.float32).T
  np.testing.assert_allclose(
    center_maps.gaussian_radius(height, width, form=form),
    [row[column] for row in RADII.values()],
    atol=1e-5,
  )


@pytest.mark.parametrize('form', ['published', 'fixed'])
def test_whole_radius_of_every_size_equals_double_precision(form):
  sizes = [(h, w) for h in range(1, 65) for w in range(1, 65)]
  want = [int(reference_radius(*size, form == 'fixed')) for size in sizes]
  height, width = np.array(sizes, np.float32).T
  got = jax.jit(
    lambda h, w: jnp.floor(center_maps.gaussian_radius(h, w, form=form))
  )(height, width)
  np.testing.assert_array_equal(got, want)


def test_fixed_radius_keeps_the_overlap():
  """A box of 30 × 20 moved by the radius, or its corners, overlaps by 0.7."""
  h, w = 20.0, 30.0
  r = float(
    center_maps.gaussian_radius(jnp.array(h), jnp.array(w), form='fixed')
  )
  alike = (h - r) * (w - r)
  overlaps = [
    alike / (2 * h * w - alike),
    (h - 2 * r) * (w - 2 * r) / (h * w),
    h * w / ((h + 2 * r) * (w + 2 * r)),
  ]
  np.testing.assert_allclose(min(overlaps), 0.7, atol=1e-5)


def test_unknown_radius_is_refused():
  with pytest.raises(ValueError, match="use 'published' or 'fixed'"):
    center_maps.gaussian_radius(jnp.ones(1), jnp.ones(1), form='exact')

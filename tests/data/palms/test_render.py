"""Splatted lines and waves against direct evaluation in NumPy."""

import jax
import numpy as np

from palmjax.data.palms import render

SIZE = 40
SPLAT_LINES = jax.jit(render.splat_lines, static_argnames='size')
SPLAT_WAVES = jax.jit(render.splat_waves, static_argnames='size')
COSINE_FIELD = jax.jit(render.cosine_field, static_argnums=1)
SLOPES = jax.jit(render.slopes)


def _grid():
  x, y = np.meshgrid(
    (np.arange(SIZE) + 0.5) / SIZE, (np.arange(SIZE) + 0.5) / SIZE
  )
  return np.stack([x, y], axis=-1)


def _line(head, tail, count):
  t = (np.arange(count) + 0.5) / count
  points = head + t[:, None] * (np.asarray(tail) - head)
  step = np.linalg.norm(np.asarray(tail) - head) / count
  return np.float32(points), np.full(count, step, np.float32)


def test_a_line_has_its_depth_and_a_gaussian_profile():
  width, blur = 0.0048, 0.02
  points, step = _line(np.array([-0.2, 0.13]), [1.2, 0.61], 500)
  image = SPLAT_LINES(
    points, 0.7 * step, np.full(500, width), size=SIZE, blur=blur
  )
  direction = np.array([1.4, 0.48]) / np.hypot(1.4, 0.48)
  offset = _grid() - points[0]
  distance = offset[..., 0] * direction[1] - offset[..., 1] * direction[0]
  # Sharing a point out among pixels has the variance 1/6 on average.
  pixel = (render.SPLAT**2 + 1 / 6) / SIZE**2
  sigma = np.sqrt(width**2 + blur**2 + pixel)
  expected = 0.7 * width / sigma * np.exp(-0.5 * (distance / sigma) ** 2)
  np.testing.assert_allclose(image, expected, atol=0.03 * expected.max())


def test_lines_add_up_in_any_order():
  rng = np.random.default_rng(0)
  points = rng.uniform(size=(500, 2)).astype(np.float32)
  depth = np.linspace(0, 0.01, 500, dtype=np.float32)
  width = np.linspace(0.001, 0.01, 500, dtype=np.float32)
  order = rng.permutation(500)
  one, two = (
    SPLAT_LINES(points[i], depth[i], width[i], size=SIZE, blur=0.001)
    for i in (np.arange(500), order)
  )
  np.testing.assert_array_equal(one, two)


def test_points_outside_leave_no_trace_at_the_border():
  points = np.float32([[-0.5, 0.5], [1.6, 0.5], [0.5, -3.0]])
  image = SPLAT_LINES(
    points, np.ones(3), np.full(3, 0.005), size=SIZE, blur=0.0
  )
  np.testing.assert_array_equal(image, 0)


def test_waves_equal_their_formula():
  rng = np.random.default_rng(1)
  centers = rng.uniform(-0.1, 1.1, (30, 2)).astype(np.float32)
  waves = rng.normal(0, 8, (30, 2)).astype(np.float32)
  width = rng.uniform(0.03, 0.1, 30).astype(np.float32)
  phase = rng.uniform(0, 6, 30).astype(np.float32)
  weight = rng.normal(0, 1, 30).astype(np.float32)
  image = SPLAT_WAVES(
    centers, waves, width, phase, weight, size=SIZE, blur=0.004
  )
  sigma = np.hypot(render.PIXEL / SIZE, 0.004)
  expected = np.zeros((SIZE, SIZE))
  for c, k, w, p, a in zip(centers, waves, width, phase, weight, strict=True):
    r = _grid() - c
    fade = np.exp(-2 * np.pi**2 * np.sum(k**2) * sigma**2)
    envelope = np.exp(-np.sum(r**2, axis=-1) / (2 * w**2))
    expected += a * fade * envelope * np.cos(2 * np.pi * r @ k + p)
  np.testing.assert_allclose(image, expected, atol=2e-3)


def test_cosine_field_and_slopes():
  field = COSINE_FIELD(np.float32([[0, 0], [0, 2.0]]), SIZE)
  x, y = np.moveaxis(_grid(), -1, 0)
  np.testing.assert_allclose(
    field, 2 * np.cos(np.pi * x) * np.cos(np.pi * y), atol=1e-5
  )
  along_x, along_y = jax.device_get(SLOPES(np.float32(3 * x - 2 * y)))
  inner = slice(1, -1)
  np.testing.assert_allclose(along_x[:, inner], 3.0, atol=1e-4)
  np.testing.assert_allclose(along_y[inner], -2.0, atol=1e-4)

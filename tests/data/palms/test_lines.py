"""The drawn lines against measured percentiles of traced ones."""

import jax
import numpy as np
import pytest

from palmjax.data.palms import curves
from palmjax.data.palms import lines as palm_lines
from palmjax.data.palms import random as palm_random

COUNT = 4000
# 5th, 25th, 50th, 75th and 95th percentile: head x, head y, tail x, tail y,
# offset of the middle control point in chords, arc length.
MEASURED = {
  'life': (
    (0.01, 0.02, 0.05, 0.14, 0.24),
    (0.25, 0.31, 0.36, 0.41, 0.48),
    (0.44, 0.54, 0.60, 0.67, 0.78),
    (0.77, 0.93, 0.97, 0.98, 0.99),
    (0.05, 0.13, 0.18, 0.23, 0.31),
    (0.60, 0.75, 0.83, 0.92, 1.09),
  ),
  'head': (
    (0.00, 0.02, 0.03, 0.06, 0.19),
    (0.22, 0.29, 0.34, 0.38, 0.44),
    (0.59, 0.76, 0.85, 0.94, 0.99),
    (0.41, 0.53, 0.60, 0.68, 0.80),
    (-0.03, 0.08, 0.14, 0.19, 0.27),
    (0.61, 0.78, 0.89, 0.98, 1.10),
  ),
  'heart': (
    (0.15, 0.25, 0.32, 0.38, 0.47),
    (0.02, 0.08, 0.14, 0.20, 0.28),
    (0.85, 0.97, 0.98, 0.99, 1.00),
    (0.19, 0.27, 0.32, 0.36, 0.42),
    (-0.25, -0.17, -0.12, -0.07, 0.04),
    (0.54, 0.65, 0.72, 0.80, 0.96),
  ),
}


@pytest.fixture(scope='module')
def palms():
  def one(key):
    u, z = palm_random.blocks(key, {'lines': (8,)}, {'lines': (24,)})
    return palm_lines.principal_lines(u['lines'], z['lines'])

  keys = jax.random.split(jax.random.key(0), COUNT)
  return [np.asarray(x) for x in jax.jit(jax.vmap(one))(keys)]


def _statistics(control):
  """[N, 6] of cubics [N, 4, 2], measured on the curve as a tracer would."""
  t = np.linspace(0, 1, 201)[:, None, None]
  s = 1 - t
  a, b, c, d = np.moveaxis(control, 1, 0)
  curve = s**3 * a + 3 * s * s * t * b + 3 * s * t * t * c + t**3 * d
  length = np.linalg.norm(np.diff(curve, axis=0), axis=-1).sum(axis=0)
  chord = a - d
  normal = np.stack([-chord[:, 1], chord[:, 0]], axis=-1)
  # The quadratic's control point lies twice as far out as the curve's middle.
  sag = 2 * np.sum((curve[100] - (a + d) / 2) * normal, axis=-1)
  sag /= np.sum(chord**2, axis=-1)
  return np.column_stack([a, d, sag, length])


@pytest.mark.parametrize('line', range(3), ids=list(MEASURED))
def test_principal_lines_reproduce_the_traced_ones(palms, line):
  control, _, topology = palms
  normal = control[topology == palm_lines.NORMAL, line]
  drawn = np.percentile(_statistics(normal), [5, 25, 50, 75, 95], axis=0).T
  measured = np.array(list(MEASURED.values())[line])
  np.testing.assert_allclose(drawn[:5], measured[:5], atol=0.015)
  # Nothing sets the length; it follows from ends and sag, without the wiggles
  # of a traced line.
  np.testing.assert_allclose(drawn[5, 1:4], measured[5, 1:4], atol=0.05)
  np.testing.assert_allclose(drawn[5, ::4], measured[5, ::4], atol=0.12)


def test_life_and_head_line_start_together(palms):
  control, _, topology = palms
  heads = control[topology == palm_lines.NORMAL][:, :2, 0]
  gap = np.linalg.norm(heads[:, 0] - heads[:, 1], axis=-1)
  assert 0.06 < np.median(gap) < 0.10  # Traced: .08.
  assert 0.03 < np.mean(gap < 0.02) < 0.14  # .11.
  assert 0.18 < np.mean(gap < 0.04) < 0.32  # .28.
  correlation = np.corrcoef(heads[:, 0, 1], heads[:, 1, 1])[0, 1]
  assert 0.68 < correlation < 0.80  # .74.


def test_heights_share_a_factor(palms):
  control, _, topology = palms
  normal = control[topology == palm_lines.NORMAL]
  heights = [normal[:, 0, 0, 1], normal[:, 2, 0, 1], normal[:, 1, 3, 1]]
  correlation = np.corrcoef(heights)[np.triu_indices(3, 1)]
  assert np.all((correlation > 0.38) & (correlation < 0.58))  # .4 to .57.


def test_topologies_have_their_odds_and_lines(palms):
  control, present, topology = palms
  odds = np.bincount(topology, minlength=5) / COUNT
  error = np.sqrt(np.array(palm_lines.TOPOLOGY_ODDS) / COUNT)
  assert np.all(np.abs(odds - palm_lines.TOPOLOGY_ODDS) < 3.5 * error)
  expected = {0: (1, 1, 1, 0), 1: (1, 1, 1, 1), 2: (1, 1, 1, 1)}
  expected |= {3: (1, 1, 1, 0), 4: (1, 1, 0, 0)}
  for kind, lines in expected.items():
    assert np.all(present[topology == kind] == lines)
  simian = control[topology == palm_lines.SIMIAN]
  np.testing.assert_array_equal(simian[:, 1, 3], simian[:, 2, 3])
  assert np.all(control[topology == palm_lines.SYDNEY][:, 1, 3, 0] >= 1)


def test_no_two_palms_collide(palms):
  control = palms[0][:, :3].reshape(COUNT, -1)
  squared = np.sum(control**2, axis=1)
  distance = squared[:, None] + squared - 2 * control @ control.T
  np.fill_diagonal(distance, np.inf)
  nearest = np.sqrt(np.maximum(distance.min(axis=1), 0) / 12)
  # Root mean square over control points; samples differ by about .02.
  assert nearest.min() > 0.01
  assert np.median(nearest) > 0.04


def test_arch_is_the_elevated_quadratic():
  head, tail = np.array([[0.1, 0.3]]), np.array([[0.7, 0.9]])
  control = curves.arch(head, tail, np.array([0.2]), np.array([0.0]))
  # n = (−dy, dx) with (dx, dy) = head − tail = (−.6, −.6).
  middle = np.array([0.4 + 0.2 * 0.6, 0.6 - 0.2 * 0.6])
  for t in (0.0, 0.3, 0.8, 1.0):
    quadratic = (1 - t) ** 2 * head + 2 * t * (1 - t) * middle + t * t * tail
    np.testing.assert_allclose(curves.bezier(control, t), quadratic, atol=1e-6)


def _straight(heads, tails, depth):
  n = len(heads)
  zeros = np.zeros((n, curves.MODES), np.float32)
  return curves.Strokes(
    control=curves.arch(
      np.float32(heads), np.float32(tails), np.zeros(n), np.zeros(n)
    ),
    depth=np.float32(depth),
    width=np.full(n, 0.004, np.float32),
    span=np.tile(np.float32([0, 1]), (n, 1)),
    walk=zeros,
    tone=zeros,
    gap=np.zeros((n, 2), np.float32),
  )


def test_trace_spreads_points_by_length():
  strokes = _straight(
    [[0, 0], [0, 0.5], [0.2, 0.1]],
    [[0.9, 0], [0.3, 0.5], [0.9, 0.9]],
    [1.0, 0.5, 0.0],
  )
  points, depth, width, stroke = jax.jit(curves.trace, static_argnums=1)(
    strokes, 400
  )
  np.testing.assert_array_equal(np.bincount(stroke), [300, 100])
  first = np.asarray(points)[:300]
  np.testing.assert_allclose(first[:, 1], 0.0, atol=1e-6)
  np.testing.assert_allclose(
    first[:, 0], (np.arange(300) + 0.5) * 0.003, atol=1e-5
  )
  # The taper 1 − |2p − 1|³ has the mean 3/4.
  assert np.isclose(depth[:300].sum(), 0.9 * 0.75, rtol=1e-3)
  assert np.isclose(depth[300:].sum(), 0.3 * 0.5 * 0.75, rtol=1e-3)
  assert np.isclose(width.max(), 0.004, rtol=1e-3)


def test_wear_adds_wrinkles():
  u, z = palm_random.blocks(
    jax.random.key(3), palm_lines.UNIFORMS, palm_lines.NORMALS
  )
  depth = jax.jit(lambda wear: palm_lines.identity_strokes(u, z, wear).depth)
  smooth, worn = (np.asarray(depth(wear)) for wear in (0.0, 1.0))
  assert smooth.shape == (sum(palm_lines.CREASES),)
  assert np.all(worn >= smooth)
  principal = palm_lines.CREASES[0]
  np.testing.assert_array_equal(worn[:principal], smooth[:principal])
  assert worn[principal:].sum() > 1.5 * smooth[principal:].sum()

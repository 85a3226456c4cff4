"""Identity geometry: every crease of a palm as a cubic Bezier curve.

Frame: a left palm in the unit square, x to the right, y down, fingers up,
thumb on the left. Creases go on past the square, so that a misplaced ROI still
sees skin. The three principal lines follow rounded percentiles of the
hand-traced lines of Diff-Palm PolyCreases (Apache-2.0), joined by a Gaussian
copula; the other creases and all code are our own.
"""

import jax
import jax.numpy as jnp

from palmjax.data.palms import curves

NORMAL, BRIDGED, FORKED, SYDNEY, SIMIAN = range(5)
TOPOLOGY_ODDS = (0.80, 0.06, 0.06, 0.05, 0.03)

PRINCIPAL = 4  # Life, head, heart, and a bridge or branch that few palms have.
STRANDS = 3
SECONDARY = 16
BUNDLES, BUNDLE_STROKES = 14, 7
SINGLES = 88
SPURIOUS = 4

LEVELS = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
# Lines: life, head, heart. Columns: head x, head y, tail x, tail y, offset of
# the middle control point in chords. Values at LEVELS.
QUANTILES = (
  (
    (0.00, 0.01, 0.02, 0.05, 0.14, 0.24, 0.30),
    (0.20, 0.25, 0.31, 0.36, 0.41, 0.48, 0.54),
    (0.38, 0.44, 0.54, 0.60, 0.67, 0.78, 0.86),
    (0.70, 0.77, 0.93, 0.97, 0.98, 0.99, 1.00),
    (0.00, 0.05, 0.13, 0.18, 0.23, 0.31, 0.36),
  ),
  (
    (0.00, 0.00, 0.02, 0.03, 0.06, 0.19, 0.26),
    (0.17, 0.22, 0.29, 0.34, 0.38, 0.44, 0.50),
    (0.50, 0.59, 0.76, 0.85, 0.94, 0.99, 1.00),
    (0.35, 0.41, 0.53, 0.60, 0.68, 0.80, 0.88),
    (-0.08, -0.03, 0.08, 0.14, 0.19, 0.27, 0.33),
  ),
  (
    (0.08, 0.15, 0.25, 0.32, 0.38, 0.47, 0.54),
    (0.00, 0.02, 0.08, 0.14, 0.20, 0.28, 0.34),
    (0.76, 0.85, 0.97, 0.98, 0.99, 1.00, 1.00),
    (0.15, 0.19, 0.27, 0.32, 0.36, 0.42, 0.48),
    (-0.30, -0.25, -0.17, -0.12, -0.07, 0.04, 0.09),
  ),
)
CREASES = (
  PRINCIPAL * STRANDS,
  SECONDARY,
  BUNDLES * BUNDLE_STROKES,
  SINGLES,
)

_PLAIN = 2 * curves.MODES + 1  # Normal draws of a plain stroke; 2 uniform ones.
UNIFORMS = {
  'lines': (8,),
  'strands': (PRINCIPAL * STRANDS, 5),
  'secondary': (SECONDARY, 8),
  'bundles': (BUNDLES, 9),
  'bundled': (BUNDLES, BUNDLE_STROKES, 6),
  'singles': (SINGLES, 8),
}
NORMALS = {
  'lines': (24,),
  'strands': (PRINCIPAL * STRANDS, 2 * curves.MODES),
  'secondary': (SECONDARY, _PLAIN + 4),
  'bundled': (BUNDLES, BUNDLE_STROKES, _PLAIN + 4),
  'singles': (SINGLES, _PLAIN + 2),
}
SPURIOUS_UNIFORMS = {'spurious': (SPURIOUS, 8)}
SPURIOUS_NORMALS = {'spurious': (SPURIOUS, _PLAIN + 2)}


def principal_lines(u, z):
  """Control points of the principal lines.

  Args:
    u: [8] uniform draws.
    z: [24] normal draws.

  Returns:
    control [4, 4, 2] for life, head, heart and an extra line; present [4],
    1 where the line exists; topology, int32 scalar.
  """
  independent, vertical, start, edge = z[:15].reshape(3, 5), z[15], z[16], z[17]
  # Correlations of the tracings: every height shares one factor (r about .5),
  # the starts of life and head line a second one (r .74).
  shared = jnp.zeros((3, 5)).at[:, 1].set(0.7 * vertical)
  shared = shared.at[:, 3].set(0.65 * vertical)
  shared = shared.at[:2, 1].add(0.5 * start).at[:2, 0].set(0.6 * edge)
  scale = jnp.ones((3, 5)).at[:2, 1].set(0.51).at[2, 1].set(0.71)
  scale = scale.at[:, 3].set(0.76).at[:2, 0].set(0.8)
  percent = jax.scipy.stats.norm.cdf(shared + scale * independent)
  values = jax.vmap(jnp.interp, (0, None, 0))(
    percent.reshape(15),
    jnp.asarray(LEVELS),
    jnp.asarray(QUANTILES).reshape(15, len(LEVELS)),
  ).reshape(3, 5)
  head, tail, offset = values[:, :2], values[:, 2:4], values[:, 4]

  topology = jnp.searchsorted(
    jnp.cumsum(jnp.asarray(TOPOLOGY_ODDS))[:-1], u[0], side='right'
  ).astype(jnp.int32)
  sydney, simian = topology == SYDNEY, topology == SIMIAN
  # Sydney: the head line runs to the far border. Simian: one crease from the
  # start of the head line to the end of the heart line.
  far = jnp.stack([1.0 + 0.04 * u[1], head[1, 1] + 0.12 + 0.12 * u[2]])
  tail = tail.at[1].set(
    jnp.where(sydney, far, jnp.where(simian, tail[2], tail[1]))
  )
  offset = offset.at[1].set(jnp.where(sydney | simian, 0.06 * z[18], offset[1]))
  control = curves.arch(head, tail, offset, 0.035 * z[19:22])

  life_point = curves.bezier(control[0], 0.3 + 0.3 * u[3])
  head_point = curves.bezier(control[1], 0.35 + 0.35 * u[4])
  heart_point = curves.bezier(control[2], 0.3 + 0.4 * u[5])
  # A bridge joins the head line to the life or the heart line.
  bridge_from = jnp.where(u[6] < 0.5, life_point, heart_point)
  branch_to = control[1, 3] + jnp.stack([-0.04 - 0.1 * u[3], 0.1 + 0.15 * u[5]])
  bridged = topology == BRIDGED
  extra = curves.arch(
    jnp.where(bridged, bridge_from, head_point)[None],
    jnp.where(bridged, head_point, branch_to)[None],
    0.1 * z[22:23],
    0.03 * z[23:24],
  )
  present = jnp.stack(
    [
      jnp.ones(()),
      jnp.ones(()),
      jnp.where(simian, 0.0, 1.0),
      jnp.where(bridged | (topology == FORKED), 1.0, 0.0),
    ]
  )
  return jnp.concatenate([control, extra]), present, topology


def identity_strokes(uniforms, normals, wear):
  """All creases of one left palm.

  Args:
    uniforms: dict of draws, shapes `UNIFORMS`.
    normals: dict of draws, shapes `NORMALS`.
    wear: scalar in [0, 1], how wrinkled the person's skin is.

  Returns:
    `Strokes`: principal strands, secondary lines, bundles, singles, in the
    numbers of `CREASES`.
  """
  u, z = uniforms, normals
  control, present, _ = principal_lines(u['lines'], z['lines'])
  return curves.join(
    _principal_strokes(control, present, u['strands'], z['strands']),
    _secondary_strokes(u['secondary'], z['secondary'], wear),
    _bundle_strokes(u['bundles'], u['bundled'], z['bundled'], wear),
    single_strokes(u['singles'], z['singles'], 0.22 + 0.2 * wear),
  )


def _principal_strokes(control, present, u, z):
  line = jnp.repeat(jnp.arange(PRINCIPAL), STRANDS)
  strand = jnp.tile(jnp.arange(STRANDS), PRINCIPAL)
  # An end at the border is where the tracing stopped, not where skin does.
  near_head = jnp.clip(1 - control[:, 0, 0] / 0.12, 0, 1)
  near_tail = jnp.clip((jnp.max(control[:, 3], axis=-1) - 0.88) / 0.1, 0, 1)
  extra = jnp.arange(PRINCIPAL) == PRINCIPAL - 1
  start = jnp.where(extra, 0.0, -0.12 * near_head)
  stop = jnp.where(extra, 1.0, 1 + 0.16 * near_tail)
  first = strand == 0
  # The first strand is the line itself; the others leave and rejoin it.
  begin = jnp.where(first, start[line], start[line] + 0.5 * u[:, 0])
  end = jnp.where(first, stop[line], stop[line] - 0.5 * u[:, 1])
  depth = jnp.where(first, 0.6 + 0.45 * u[:, 2], 0.25 + 0.35 * u[:, 2])
  fade = 1 / jnp.arange(1, curves.MODES + 1)
  walk = (
    0.0055 * z[:, : curves.MODES] * fade * jnp.where(first, 0.6, 1.3)[:, None]
  )
  return curves.Strokes(
    control=control[line],
    depth=depth * present[line] * jnp.where(line == PRINCIPAL - 1, 0.7, 1.0),
    width=jnp.where(first, 0.0045 + 0.0045 * u[:, 3], 0.0025 + 0.003 * u[:, 3]),
    span=jnp.stack([begin, end], axis=-1),
    walk=walk,
    tone=0.2 * z[:, curves.MODES :],
    gap=jnp.stack([u[:, 4], (u[:, 1] < 0.12) * 0.8], axis=-1),
  )


def _chord(center, angle, length, offset, skew):
  half = (
    0.5 * length[:, None] * jnp.stack([jnp.cos(angle), jnp.sin(angle)], axis=-1)
  )
  return curves.arch(center - half, center + half, offset, skew)


def _strokes(center, angle, length, offset, depth, width, z, u):
  """Plain strokes with random walk, tone and gap; z [N, 13], u [N, 2]."""
  fade = 1 / jnp.arange(1, curves.MODES + 1)
  n = center.shape[0]
  return curves.Strokes(
    control=_chord(center, angle, length, offset, 0.05 * z[:, -1]),
    depth=depth,
    width=width,
    span=jnp.tile(jnp.asarray([0.0, 1.0]), (n, 1)),
    walk=0.022 * length[:, None] * z[:, : curves.MODES] * fade,
    tone=0.22 * z[:, curves.MODES : 2 * curves.MODES],
    gap=jnp.stack([u[:, 0], (u[:, 1] < 0.25) * 0.85], axis=-1),
  )


def _flow(center):
  """Main direction of wrinkles: upright, fanning out from the wrist."""
  x, y = center[:, 0], center[:, 1]
  return jnp.pi / 2 + 0.9 * (x - 0.5) * (0.3 + y)


def _secondary_strokes(u, z, wear):
  thenar = jnp.asarray([0.2, 0.68]) + 0.16 * z[:, :2]
  middle = jnp.asarray([0.55, 0.55]) + 0.28 * z[:, :2]
  center = jnp.where(u[:, :1] < 0.35, thenar, middle)
  across = jnp.where(u[:, 1] < 0.35, jnp.pi / 2, 0.0)
  count = 6 + 10 * (0.5 * u[0, 7] + 0.5 * wear)
  shown = jnp.arange(SECONDARY) < count
  return _strokes(
    center,
    angle=_flow(center) + across + 0.45 * z[:, 2],
    length=0.12 + 0.42 * u[:, 3],
    offset=jnp.clip(0.22 * z[:, 3], -0.6, 0.6),
    depth=shown * (0.3 + 0.4 * u[:, 4]),
    width=0.0022 + 0.0028 * u[:, 5] ** 2,
    z=z[:, 4:],
    u=u[:, 6:],
  )


def _bundle_strokes(b, u, z, wear):
  n, m = BUNDLES, BUNDLE_STROKES
  middle = -0.1 + 1.2 * b[:, :2]
  turn = jnp.where(b[:, 2] < 0.5, 0.0, 0.7 + 0.9 * b[:, 3])
  turn = jnp.where(b[:, 8] < 0.5, turn, -turn)
  angle = _flow(middle) + turn + 0.6 * (b[:, 3] - 0.5)
  length = 0.3 + 0.8 * b[:, 4]
  spacing = 0.012 + 0.028 * b[:, 5]
  size = 2 + (m - 2) * b[:, 6]
  along = jnp.stack([jnp.cos(angle), jnp.sin(angle)], axis=-1)[:, None]
  side = jnp.stack([-along[..., 1], along[..., 0]], axis=-1)
  order = jnp.arange(m) - (m - 1) / 2
  step = spacing[:, None] * (order + 0.25 * z[..., 0])
  slide = 0.16 * length[:, None] * z[..., 1]
  center = middle[:, None] + step[..., None] * side + slide[..., None] * along
  shown = (jnp.arange(m) < size[:, None]) & (
    jnp.arange(n)[:, None] < 6 + 8 * (0.5 * b[0, 7] + 0.5 * wear)
  )
  depth = (0.25 + 0.3 * b[:, 7] + 0.25 * wear)[:, None]

  def flat(x):
    return x.reshape(n * m, *x.shape[2:])

  return _strokes(
    flat(center),
    angle=flat(angle[:, None] + 0.06 * z[..., 2]),
    length=flat(length[:, None] * (0.5 + 0.6 * u[..., 0])),
    offset=flat(0.24 * (b[:, 8, None] - 0.5) + 0.03 * z[..., 3]),
    depth=flat(shown * depth * (0.5 + u[..., 1])),
    width=flat(0.0016 + 0.0024 * u[..., 2] ** 2),
    z=flat(z[..., 4:]),
    u=flat(u[..., 4:]),
  )


def single_strokes(u, z, depth):
  """Faint crossing strokes of the given mean depth; u [N, 8], z [N, 15]."""
  center = -0.12 + 1.24 * u[:, :2]
  across = jnp.where(u[:, 2] < 0.5, 0.0, jnp.pi / 2)
  return _strokes(
    center,
    angle=_flow(center) + across + 0.5 * z[:, 0],
    length=0.1 + 0.4 * u[:, 3],
    offset=0.12 * z[:, 1],
    depth=depth * (0.4 + 1.2 * u[:, 4]),
    width=0.0014 + 0.002 * u[:, 5] ** 2,
    z=z[:, 2:],
    u=u[:, 6:],
  )

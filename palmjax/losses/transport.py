"""Optimal transport between two sets of feature vectors (arXiv:1907.10764).

  C_ij = max(0, 1 − cos(f_i, g_j))                    cost of moving f_i to g_j
  D    = Σ_ij T_ij C_ij,   T 1 = 1/m,  Tᵀ 1 = 1/n     T the cheapest plan

D is the feature matching distance. Two solvers find T.

  sinkhorn   T = exp((u_i + v_j − C_ij) / ε), the plan of least Σ T C − ε H(T)
             (arXiv:1306.0895), u and v in turn made to fit the marginals
  ipot       proximal points (arXiv:1802.04307): Sinkhorn's step from the last
             plan in place of the uniform one; needs no small ε to be exact

Both work with logarithms in float32: exp(−C/ε) is 0 there for C = 1, ε = 0.01.
Features of a fresh network are nearly equal and all costs nearly 0: nothing is
divided by them.
"""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from palmjax.ops import vectors

# Sum of the errors of the row sums of a plan that counts as converged.
MARGINAL_ERROR = 1e-3


class Plan(NamedTuple):
  """A transport plan.

  Attributes:
    matrix: T, float32 [m, n]; its columns sum to 1/n.
    error: float32 scalar, Σ_i |Σ_j T_ij − 1/m|.
    converged: bool scalar, `error` is at most `MARGINAL_ERROR`.
    iterations: int32 scalar, iterations that changed the plan.
  """

  matrix: jax.Array
  error: jax.Array
  converged: jax.Array
  iterations: jax.Array


def cosine_cost(features, others):
  """Cost matrix of two sets of vectors: 1 − cosine, cut off at 0.

  Args:
    features: float [m, D].
    others: float [n, D].

  Returns:
    float32 [m, n] in [0, 2].
  """
  chex.assert_rank([features, others], 2)
  features, others = (x.astype(jnp.float32) for x in (features, others))
  return jnp.maximum(1.0 - vectors.cosines(features, others), 0.0)


def sinkhorn(cost, *, epsilon=0.01, num_iterations=100, tolerance=0.0):
  """Entropic transport plan of uniform marginals (arXiv:1306.0895).

  Differentiable: the iterations are unrolled.

  Args:
    cost: float [m, n].
    epsilon: weight of the entropy, in units of the cost.
    num_iterations: of u and v in turn.
    tolerance: the plan is kept once Σ|Δu| of an iteration is below it; 0: all
      iterations are done. The published code stops at 0.1: after 2 of them.

  Returns:
    `Plan`.

  Raises:
    ValueError: `epsilon` or `num_iterations` is not positive, or `tolerance` is
      negative.
  """
  if not epsilon > 0:
    raise ValueError(f'epsilon={epsilon}: give a number above 0')
  if not tolerance >= 0:
    raise ValueError(f'tolerance={tolerance}: give 0 or more')
  _check_iterations(num_iterations)
  chex.assert_rank(cost, 2)
  scores = -cost.astype(jnp.float32) / epsilon

  def iterate(carry, _):
    u, v, going, count = carry
    new_u, new_v = _fit_marginals(scores, v)
    moved = epsilon * jnp.sum(jnp.abs(new_u - u))
    # A converged plan is kept, so gradients are those of a loop that stopped.
    u, v = jnp.where(going, new_u, u), jnp.where(going, new_v, v)
    return (u, v, going & (moved >= tolerance), count + going), None

  rows, columns = cost.shape
  start = (jnp.zeros(rows), jnp.zeros(columns), jnp.bool_(True), jnp.int32(0))
  (u, v, _, count), _ = jax.lax.scan(iterate, start, length=num_iterations)
  return _plan(u[:, None] + scores + v, count)


def ipot(cost, *, beta=1.0, num_iterations=50):
  """Transport plan by proximal points, exact in the limit (arXiv:1802.04307).

  Differentiable: the iterations are unrolled.

  Args:
    cost: float [m, n].
    beta: step of a proximal point, in units of the cost.
    num_iterations: proximal points, each with one fit of the marginals.

  Returns:
    `Plan`.

  Raises:
    ValueError: `beta` or `num_iterations` is not positive.
  """
  if not beta > 0:
    raise ValueError(f'beta={beta}: give a number above 0')
  _check_iterations(num_iterations)
  chex.assert_rank(cost, 2)
  scores = -cost.astype(jnp.float32) / beta

  def iterate(carry, _):
    log_plan, v = carry
    proximal = scores + log_plan
    u, v = _fit_marginals(proximal, v)
    return (u[:, None] + proximal + v, v), None

  columns = cost.shape[1]
  start = (jnp.zeros(cost.shape), jnp.full(columns, -jnp.log(columns)))
  (log_plan, _), _ = jax.lax.scan(iterate, start, length=num_iterations)
  return _plan(log_plan, jnp.int32(num_iterations))


def matching_distance(features, others, *, solver, detach_plan=False):
  """Feature matching distance D of two sets of vectors.

  Cost matrix, transport plan, distance (CN112215298A, claim 3).

  Args:
    features: float [m, D].
    others: float [n, D].
    solver: cost → `Plan`, e.g. `sinkhorn`.
    detach_plan: no gradient passes through T: that of D is then Σ T ∂C.

  Returns:
    (D, `Plan`), D a float32 scalar ≥ 0.
  """
  cost = cosine_cost(features, others)
  plan = solver(cost)
  matrix = plan.matrix
  if detach_plan:
    matrix = jax.lax.stop_gradient(matrix)
  return jnp.sum(matrix * cost), plan


def paired_distance(features, others):
  """Mean cost of moving each vector to the one of its own row.

  The plan I/m in place of the cheapest one: what transport is compared with.

  Args:
    features, others: float [m, D].

  Returns:
    float32 scalar ≥ 0.
  """
  chex.assert_equal_shape([features, others])
  features, others = (x.astype(jnp.float32) for x in (features, others))
  cosine = jnp.sum(vectors.unit(features) * vectors.unit(others), axis=-1)
  return jnp.mean(jnp.maximum(1.0 - cosine, 0.0))


def _fit_marginals(scores, v):
  """u for which the rows of exp(u + scores + v) sum to 1/m, then v likewise."""
  rows, columns = scores.shape
  u = -jnp.log(rows) - jax.nn.logsumexp(scores + v, axis=1)
  v = -jnp.log(columns) - jax.nn.logsumexp(scores + u[:, None], axis=0)
  return u, v


def _plan(log_matrix, iterations):
  matrix = jnp.exp(log_matrix)
  sums = jnp.sum(jax.lax.stop_gradient(matrix), axis=1)
  error = jnp.sum(jnp.abs(sums - 1.0 / len(matrix)))
  return Plan(matrix, error, error <= MARGINAL_ERROR, iterations)


def _check_iterations(num_iterations):
  if num_iterations < 1:
    raise ValueError(f'num_iterations={num_iterations}: give 1 or more')

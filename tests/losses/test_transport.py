"""Transport plans: golden values, NumPy twins, the exact optimum, oracles."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ott.geometry import geometry
from ott.problems.linear import linear_problem
from ott.solvers.linear import sinkhorn as ott_sinkhorn
from scipy import optimize, special

from palmjax.losses import transport

COST = np.array([[0.1, 0.9, 0.5], [0.8, 0.2, 0.6], [0.4, 0.7, 0.3]], np.float32)


sinkhorn = jax.jit(
  transport.sinkhorn,
  static_argnames=('epsilon', 'num_iterations', 'tolerance'),
)
ipot = jax.jit(transport.ipot, static_argnames=('beta', 'num_iterations'))
cosine_cost = jax.jit(transport.cosine_cost)
paired_distance = jax.jit(transport.paired_distance)


def random_cost(rows, columns, seed=0):
  rng = np.random.default_rng(seed)
  return rng.uniform(0, 1, (rows, columns)).astype(np.float32)


def near_pairs(count=60, size=10, seed=0, noise=0.1):
  """Vectors, and each of them a little off."""
  rng = np.random.default_rng(seed)
  vectors = rng.normal(size=(count, size))
  other = vectors + noise * rng.normal(size=vectors.shape)
  return vectors.astype(np.float32), other.astype(np.float32)


def total(plan, cost):
  return float(np.sum(plan.matrix * np.asarray(cost)))


def twin_of_sinkhorn(cost, epsilon, num_iterations):
  """u and v in units of the cost, float64."""
  rows, columns = cost.shape
  cost = np.asarray(cost, np.float64)
  v = np.zeros(columns)
  for _ in range(num_iterations):
    u = epsilon * (
      np.log(1 / rows) - special.logsumexp((v - cost) / epsilon, axis=1)
    )
    v = epsilon * (
      np.log(1 / columns)
      - special.logsumexp((u[:, None] - cost) / epsilon, axis=0)
    )
  return np.exp((u[:, None] + v - cost) / epsilon)


def twin_of_ipot(cost, beta, num_iterations):
  """Without logarithms, float64."""
  rows, columns = cost.shape
  kernel = np.exp(-np.asarray(cost, np.float64) / beta)
  plan, sigma = np.ones(cost.shape), np.full(columns, 1 / columns)
  for _ in range(num_iterations):
    weights = kernel * plan
    delta = 1 / (rows * (weights @ sigma))
    sigma = 1 / (columns * (weights.T @ delta))
    plan = delta[:, None] * weights * sigma
  return plan


def cheapest(cost):
  """The optimum of the linear program."""
  rows, columns = cost.shape
  sums = [np.kron(np.eye(rows), np.ones(columns))]
  sums.append(np.kron(np.ones(rows), np.eye(columns)))
  wanted = [np.full(rows, 1 / rows), np.full(columns, 1 / columns)]
  return optimize.linprog(
    cost.ravel(), A_eq=np.concatenate(sums), b_eq=np.concatenate(wanted)
  ).fun


@pytest.mark.parametrize(
  'epsilon, distance', [(0.01, 0.20000434), (0.1, 0.21757567), (1, 0.43827605)]
)
def test_golden_values(epsilon, distance):
  plan = sinkhorn(COST, epsilon=epsilon, num_iterations=500)
  assert total(plan, COST) == pytest.approx(distance, abs=5e-7)
  assert plan.converged
  assert plan.iterations == 500
  if epsilon == 0.1:
    np.testing.assert_allclose(
      plan.matrix[0], [0.307957, 0.000463, 0.024914], atol=1e-6
    )


def test_the_limit_is_the_identity():
  for plan in (
    sinkhorn(COST, epsilon=0.002, num_iterations=500),
    ipot(COST, num_iterations=200),
  ):
    assert total(plan, COST) == pytest.approx(0.2, abs=1e-5)
    np.testing.assert_allclose(plan.matrix, np.eye(3) / 3, atol=1e-4)


@pytest.mark.parametrize('shape', [(5, 7), (1, 4), (4, 1)])
def test_numpy_twins(shape):
  cost = random_cost(*shape)
  plan = sinkhorn(cost, epsilon=0.05, num_iterations=7)
  twin = twin_of_sinkhorn(cost, 0.05, 7)
  np.testing.assert_allclose(plan.matrix, twin, rtol=2e-4, atol=1e-7)
  error = np.abs(twin.sum(axis=1) - 1 / shape[0]).sum()
  np.testing.assert_allclose(plan.error, error, rtol=1e-3, atol=1e-6)
  assert bool(plan.converged) == (error <= transport.MARGINAL_ERROR)
  plan = ipot(cost, beta=0.5, num_iterations=7)
  twin = twin_of_ipot(cost, 0.5, 7)
  np.testing.assert_allclose(plan.matrix, twin, rtol=2e-4, atol=1e-7)
  np.testing.assert_allclose(
    plan.matrix.sum(axis=0), np.full(shape[1], 1 / shape[1]), rtol=1e-5
  )


@pytest.mark.parametrize('shape', [(4, 6), (6, 6)])
def test_both_come_to_the_exact_optimum(shape):
  cost = random_cost(*shape, seed=3)
  best = cheapest(cost)
  if shape[0] == shape[1]:
    pairs = optimize.linear_sum_assignment(cost)
    assert best == pytest.approx(cost[pairs].mean())
  for plan in (
    sinkhorn(cost, epsilon=0.005, num_iterations=2000),
    ipot(cost, beta=0.1, num_iterations=500),
  ):
    assert plan.converged
    assert -2e-3 < total(plan, cost) - best < 2e-3


def test_more_entropy_costs_more_than_the_optimum():
  cost = random_cost(6, 6, seed=4)
  distances = [
    total(sinkhorn(cost, epsilon=x, num_iterations=300), cost)
    for x in (0.02, 0.2, 2.0)
  ]
  assert cheapest(cost) < distances[0] < distances[1] < distances[2]
  assert distances[2] < cost.mean()


@pytest.mark.parametrize('size', [3, 60])
def test_the_published_stop_comes_after_two_iterations(size):
  cost = COST if size == 3 else cosine_cost(*near_pairs())
  stopped = sinkhorn(cost, tolerance=0.1)
  assert stopped.iterations == 2
  np.testing.assert_allclose(
    stopped.matrix, twin_of_sinkhorn(cost, 0.01, 2), rtol=2e-3, atol=1e-7
  )
  every = sinkhorn(cost, num_iterations=300)
  assert every.iterations == 300
  assert total(stopped, cost) == pytest.approx(total(every, cost), rel=1e-4)


def test_rows_and_columns_may_be_moved():
  cost = random_cost(5, 4)
  rows, columns = [3, 0, 4, 1, 2], [2, 3, 0, 1]
  for solver in (sinkhorn, ipot):
    plan, moved = solver(cost), solver(cost[rows][:, columns])
    np.testing.assert_allclose(
      moved.matrix, np.asarray(plan.matrix)[rows][:, columns], atol=1e-6
    )


@pytest.mark.parametrize('solver', [sinkhorn, ipot])
def test_compiled_and_batched_it_is_the_same(solver):
  costs = np.stack([random_cost(4, 5, seed=i) for i in range(3)])
  batched = jax.jit(jax.vmap(solver))(costs)
  for i, cost in enumerate(costs):
    for one, many in zip(solver(cost), jax.device_get(batched), strict=True):
      np.testing.assert_allclose(one, many[i], atol=1e-6)


def test_cosine_cost():
  rng = np.random.default_rng(0)
  vectors, others = rng.normal(size=(3, 5)), rng.normal(size=(4, 5))
  cost = np.asarray(cosine_cost(vectors, others))
  for i, j in np.ndindex(3, 4):
    lengths = np.linalg.norm(vectors[i]) * np.linalg.norm(others[j])
    assert cost[i, j] == pytest.approx(
      1 - vectors[i] @ others[j] / lengths, abs=1e-6
    )
  itself = np.diag(cosine_cost(vectors, 3 * vectors))
  assert (itself >= 0).all()
  np.testing.assert_allclose(itself, 0, atol=1e-6)
  opposite = np.asarray(cosine_cost(vectors, -vectors))
  np.testing.assert_allclose(opposite[0, 0], 2)
  assert cost.dtype == jnp.float32


@jax.jit
def transported_distance(vectors, others):
  distance, _ = transport.matching_distance(
    vectors, others, solver=transport.sinkhorn
  )
  return distance


def test_paired_distance_is_that_of_the_plan_of_equal_rows():
  vectors, others = near_pairs(count=6)
  cost = cosine_cost(vectors, others)
  assert paired_distance(vectors, others) == pytest.approx(
    float(np.trace(cost)) / 6, rel=1e-5
  )
  # Rows in another order: transport does not mind, pairs do.
  order = [1, 2, 3, 4, 5, 0]
  for distance, changes in (
    (paired_distance, True),
    (transported_distance, False),
  ):
    same, moved = distance(vectors, others), distance(vectors, others[order])
    assert (abs(float(moved) - float(same)) > 0.1) == changes


@pytest.mark.parametrize(
  'solver, changes, message',
  [
    (transport.sinkhorn, {'epsilon': 0}, 'epsilon=0: give'),
    (transport.sinkhorn, {'epsilon': float('nan')}, 'epsilon=nan: give'),
    (transport.sinkhorn, {'tolerance': -1}, 'tolerance=-1: give 0'),
    (transport.sinkhorn, {'num_iterations': 0}, 'num_iterations=0: give 1'),
    (transport.ipot, {'beta': -1.0}, 'beta=-1.0: give'),
    (transport.ipot, {'num_iterations': 0}, 'num_iterations=0: give 1'),
  ],
)
def test_errors_name_what_is_wrong(solver, changes, message):
  with pytest.raises(ValueError, match=f'^{message}'):
    solver(COST, **changes)


@functools.partial(jax.jit, static_argnames='epsilon')
def by_ott(cost, epsilon):
  """Unrolled up to a tolerance: with fixed iterations it raises a TypeError."""
  problem = linear_problem.LinearProblem(
    geometry.Geometry(cost_matrix=cost, epsilon=epsilon)
  )
  solve = ott_sinkhorn.Sinkhorn(
    threshold=1e-6, inner_iterations=20, max_iterations=400, implicit_diff=None
  )
  return solve(problem).matrix


def test_ott_finds_the_same_plan_and_gradient():
  def ours(cost):
    plan = transport.sinkhorn(cost, epsilon=0.1, num_iterations=400)
    return jnp.sum(plan.matrix * cost), plan.matrix

  def theirs(cost):
    matrix = by_ott(cost, 0.1)
    return jnp.sum(matrix * cost), matrix

  ((value, matrix), slope), ((other, their_matrix), their_slope) = (
    jax.jit(jax.value_and_grad(function, has_aux=True))(COST)
    for function in (ours, theirs)
  )
  assert value == pytest.approx(float(other), abs=1e-5)
  np.testing.assert_allclose(matrix, their_matrix, atol=1e-5)
  np.testing.assert_allclose(slope, their_slope, atol=1e-4)

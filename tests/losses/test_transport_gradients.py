"""The gradient of the feature matching distance, and where it is delicate."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from palmjax.losses import transport

EPSILON, ITERATIONS = 0.1, 8
SHORT = functools.partial(
  transport.sinkhorn, epsilon=EPSILON, num_iterations=ITERATIONS
)


def cost_by_hand(vectors, others):
  lengths = np.linalg.norm(vectors, axis=1)[:, None]
  return 1 - vectors @ others.T / lengths / np.linalg.norm(others, axis=1)


def plan_by_hand(cost, num_iterations=ITERATIONS):
  rows, columns = cost.shape
  kernel = np.exp(-cost / EPSILON)
  right = np.ones(columns)
  for _ in range(num_iterations):
    left = 1 / (rows * (kernel @ right))
    right = 1 / (columns * (left @ kernel))
  return left[:, None] * kernel * right


def finite_differences(function, at, step=1e-6):
  slopes = np.zeros_like(at)
  for place in np.ndindex(at.shape):
    change = np.zeros_like(at)
    change[place] = step
    slopes[place] = (function(at + change) - function(at - change)) / (2 * step)
  return slopes


def gradient(vectors, others, *, solver=SHORT, detach_plan=False):
  """(D, ∂D/∂others)."""

  def distance(others):
    return transport.matching_distance(
      vectors, others, solver=solver, detach_plan=detach_plan
    )[0]

  return jax.jit(jax.value_and_grad(distance))(others)


@pytest.fixture(scope='module')
def sets():
  rng = np.random.default_rng(5)
  return rng.normal(size=(4, 3)), rng.normal(size=(5, 3))


def test_unrolled_it_is_that_of_all_iterations(sets):
  vectors, others = sets

  def by_hand(others):
    cost = cost_by_hand(vectors, others)
    return np.sum(plan_by_hand(cost) * cost)

  value, slopes = gradient(vectors, others)
  assert value == pytest.approx(by_hand(others), rel=1e-5)
  np.testing.assert_allclose(
    slopes, finite_differences(by_hand, others), atol=2e-6, rtol=1e-3
  )


def test_detached_the_plan_is_a_constant(sets):
  vectors, others = sets
  plan = plan_by_hand(cost_by_hand(vectors, others))
  value, slopes = gradient(vectors, others, detach_plan=True)
  expected = finite_differences(
    lambda others: np.sum(plan * cost_by_hand(vectors, others)), others
  )
  np.testing.assert_allclose(slopes, expected, atol=2e-6, rtol=1e-3)
  whole, unrolled = gradient(vectors, others)
  assert value == whole
  assert np.abs(unrolled - slopes).max() > 1e-3


def test_detached_it_is_the_envelope_s_where_converged(sets):
  """Danskin: that of the least Σ T C − ε H(T), by both sets of vectors."""
  vectors, others = sets

  def least(others):
    cost = cost_by_hand(vectors, others)
    plan = plan_by_hand(cost, 300)
    return np.sum(plan * (cost + EPSILON * np.log(plan)))

  _, slopes = gradient(
    vectors,
    others,
    solver=functools.partial(SHORT, num_iterations=300),
    detach_plan=True,
  )
  np.testing.assert_allclose(
    slopes, finite_differences(least, others), atol=1e-5, rtol=1e-3
  )


@pytest.mark.parametrize('noise', [0.05, 0.5])
def test_both_gradients_mostly_have_the_same_sign(noise):
  """The ascent reads signs only."""
  rng = np.random.default_rng(6)
  vectors = rng.normal(size=(16, 12)).astype(np.float32)
  others = vectors + noise * rng.normal(size=vectors.shape).astype(np.float32)
  _, unrolled = gradient(vectors, others, solver=transport.sinkhorn)
  _, detached = gradient(
    vectors, others, solver=transport.sinkhorn, detach_plan=True
  )
  assert np.mean(np.sign(unrolled) == np.sign(detached)) > 0.95


@pytest.mark.parametrize('solver', [transport.sinkhorn, transport.ipot])
@pytest.mark.parametrize('detach_plan', [False, True])
def test_a_batch_of_one_has_the_cosine_distance(solver, detach_plan):
  vectors, others = np.array([[3.0, 4.0]]), np.array([[1.0, 0.0]])
  value, slopes = gradient(
    vectors, others, solver=solver, detach_plan=detach_plan
  )
  assert value == pytest.approx(0.4, rel=1e-5)
  np.testing.assert_allclose(slopes, [[0, -0.8]], atol=1e-5)


@pytest.mark.parametrize('solver', [transport.sinkhorn, transport.ipot])
@pytest.mark.parametrize('spread', [1e-2, 1e-4, 0.0])
def test_nearly_equal_vectors_stay_finite(solver, spread):
  """Those of a fresh detector."""
  rng = np.random.default_rng(7)
  centre = rng.normal(size=(1, 16))
  vectors, others = (
    (centre + spread * rng.normal(size=(8, 16))).astype(np.float32)
    for _ in range(2)
  )
  value, slopes = gradient(vectors, others, solver=solver)
  assert 0 <= value < 1e-3
  assert np.isfinite(slopes).all()
  if spread == 1e-2:
    assert (slopes != 0).all()


def test_vectors_of_zeros_stay_finite():
  vectors = np.zeros((3, 4), np.float32)
  value, slopes = gradient(vectors, vectors)
  assert value == pytest.approx(1)
  assert np.isfinite(slopes).all()


def test_nearest_to_themselves_vectors_have_no_gradient():
  """Why the ascent needs a random start."""
  rng = np.random.default_rng(8)
  vectors = rng.normal(size=(6, 20)).astype(np.float32)
  near = vectors + 0.01 * rng.normal(size=vectors.shape).astype(np.float32)
  _, at_themselves = gradient(vectors, vectors, solver=transport.sinkhorn)
  _, off = gradient(vectors, near, solver=transport.sinkhorn)
  assert np.abs(at_themselves).max() < 1e-3 * np.abs(off).max()


@pytest.mark.parametrize('tolerance', [0.0, 0.1])
def test_what_is_no_number_is_told(tolerance):
  cost = jnp.full((3, 3), jnp.nan)
  plan = transport.sinkhorn(cost, num_iterations=5, tolerance=tolerance)
  assert np.isnan(plan.error)
  assert not plan.converged
  value, _ = transport.matching_distance(
    jnp.full((3, 2), jnp.nan), jnp.ones((3, 2)), solver=SHORT
  )
  assert np.isnan(value)

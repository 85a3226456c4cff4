"""The loss of palm frames against NumPy, by hand, and where it has no row."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from palmjax.losses import palm_frame

COUNT = 5
palm_frame_loss = jax.jit(palm_frame.palm_frame_loss)


def random_targets(seed=0):
  """Five frames, one of which does not count."""
  rng = np.random.default_rng(seed)
  return {
    'points': rng.normal(size=(COUNT, 3, 2)).astype(np.float32),
    'facing': np.array([True, False, True, True, False]),
    'present': np.array([True, True, False, True, True]),
  }


def random_output(seed=1):
  rng = np.random.default_rng(seed)
  return (
    rng.normal(size=(COUNT, 3, 2)).astype(np.float32),
    rng.normal(size=COUNT).astype(np.float32),
  )


def reference(points, facing, targets):
  """All terms, hand by hand."""
  rows = np.flatnonzero(targets['present'])
  terms = dict.fromkeys(('valleys', 'wrist', 'facing'), 0.0)
  for i in rows:
    true = targets['points'][i].astype(np.float64)
    width = 2 * np.hypot(*(true[1] - true[0]))
    first, second, wrist = np.hypot(*(points[i] - true).T) / width
    terms['valleys'] += (first + second) / 2 / len(rows)
    terms['wrist'] += wrist / len(rows)
    sign = 1 if targets['facing'][i] else -1
    terms['facing'] += np.log1p(np.exp(-sign * facing[i])) / len(rows)
  return terms


def total(terms):
  return terms['valleys'] + 0.2 * terms['wrist'] + 0.05 * terms['facing']


def test_terms_equal_numpy():
  output, targets = random_output(), random_targets()
  loss, terms = palm_frame_loss(*output, targets)
  want = reference(*output, targets)
  assert terms.keys() == want.keys()
  # Means are over rows + 1e-4.
  for name, value in want.items():
    np.testing.assert_allclose(terms[name], value, rtol=5e-5, err_msg=name)
  np.testing.assert_allclose(loss, total(want), rtol=5e-5)


def test_by_hand():
  """A palm 20 wide: a valley is off by 5, the wrist by 10, facing is open."""
  true = jnp.array([[[0.0, 0], [10, 0], [5, 23]]])
  points = true + jnp.array([[[3.0, 4], [0, 0], [0, -10]]])
  targets = {
    'points': true,
    'facing': jnp.array([True]),
    'present': jnp.array([True]),
  }
  _, terms = palm_frame_loss(points, jnp.zeros(1), targets)
  want = {'valleys': 0.125, 'wrist': 0.5, 'facing': np.log(2)}
  for name, value in want.items():
    np.testing.assert_allclose(terms[name], value, rtol=2e-4, err_msg=name)


def test_errors_are_relative_to_the_palm():
  (points, facing), targets = random_output(), random_targets()
  _, small = palm_frame_loss(points, facing, targets)
  larger = targets | {'points': 7 * targets['points']}
  _, large = palm_frame_loss(7 * points, facing, larger)
  chex.assert_trees_all_close(large, small, rtol=1e-5)
  assert small['valleys'] > 0.1


def test_rows_that_do_not_count_change_nothing():
  (points, facing), targets = random_output(), random_targets()
  moved = points.copy()
  moved[2] += 100
  other = facing.copy()
  other[2] = -50
  same = palm_frame_loss(moved, other, targets)
  chex.assert_trees_all_equal(same, palm_frame_loss(points, facing, targets))
  gradient = jax.jit(
    jax.grad(
      lambda *output: palm_frame.palm_frame_loss(*output, targets)[0], (0, 1)
    )
  )(points, facing)
  for part in gradient:
    touched = np.any(np.asarray(part).reshape(COUNT, -1) != 0, axis=1)
    np.testing.assert_array_equal(touched, targets['present'])


def test_batches_without_a_frame():
  output, targets = random_output(), random_targets()
  # Nor have those that are not there a width.
  targets = jax.tree.map(np.zeros_like, targets)
  (loss, terms), gradient = jax.jit(
    jax.value_and_grad(
      lambda output: palm_frame.palm_frame_loss(*output, targets), has_aux=True
    )
  )(output)
  assert loss == 0
  assert all(term == 0 for term in terms.values())
  for part in gradient:
    np.testing.assert_array_equal(part, np.zeros_like(part))


def test_a_distance_of_zero_has_a_gradient_of_zero():
  targets = random_targets()
  gradient = jax.jit(
    jax.grad(
      lambda x: palm_frame.palm_frame_loss(x, jnp.zeros(COUNT), targets)[0]
    )
  )(targets['points'])
  np.testing.assert_array_equal(gradient, np.zeros((COUNT, 3, 2)))


def test_gradients_equal_differences():
  (points, facing), targets = random_output(), random_targets()
  gradient = jax.jit(
    jax.grad(
      lambda *output: palm_frame.palm_frame_loss(*output, targets)[0], (0, 1)
    )
  )(points, facing)
  direction = random_output(seed=5)
  step = 1e-3

  def at(sign):
    moved = [
      x.astype(np.float64) + sign * step * d
      for x, d in zip((points, facing), direction, strict=True)
    ]
    return total(reference(*moved, targets))

  slope = (at(1) - at(-1)) / (2 * step)
  got = sum(
    np.sum(np.asarray(g) * d) for g, d in zip(gradient, direction, strict=True)
  )
  np.testing.assert_allclose(got, slope, rtol=1e-3)


def test_vmap_equals_a_loop():
  outputs = [random_output(seed) for seed in (1, 2)]
  targets = [random_targets(seed) for seed in (3, 4)]

  def stack(*trees):
    return jax.tree.map(lambda *leaves: np.stack(leaves), *trees)

  loss, terms = jax.jit(jax.vmap(palm_frame.palm_frame_loss))(
    *stack(*outputs), stack(*targets)
  )
  for i in range(2):
    one, parts = palm_frame_loss(*outputs[i], targets[i])
    np.testing.assert_allclose(loss[i], one, rtol=1e-6)
    for name, part in parts.items():
      np.testing.assert_allclose(terms[name][i], part, rtol=1e-6)


def test_weights():
  output, targets = random_output(), random_targets()
  loss, terms = palm_frame.palm_frame_loss(
    *output, targets, weights={'valleys': 0.0, 'wrist': 3.0, 'facing': 0.0}
  )
  np.testing.assert_allclose(loss, 3 * terms['wrist'], rtol=1e-6)
  with pytest.raises(ValueError, match='give those of valleys, wrist, facing'):
    palm_frame.palm_frame_loss(*output, targets, weights={'valleys': 1.0})

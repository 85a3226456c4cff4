"""Target images: by hand, radius and range, what the ascent does."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from palmjax.losses import transport
from palmjax.steps import perturb
from tests.steps import tiny_robust

KEY = jax.random.key(3)


@pytest.fixture(scope='module')
def network():
  """(params, stats), (images, targets)."""
  state, data = tiny_robust.state(), tiny_robust.batch()
  return (state.params, state.stats), (tiny_robust.images(data), data)


def find(network, task=None, **changes):
  """(x*, metrics)."""
  variables, examples = network
  task = task or tiny_robust.task()
  perturbation = tiny_robust.perturbation(**changes)
  perturb.check(perturbation)

  @tiny_robust.quick_jit
  def run(variables, examples):
    return perturb.find_target_images(
      task, perturbation, variables, examples, KEY
    )

  return run(variables, examples)


@functools.partial(tiny_robust.quick_jit, static_argnums=0)
def value_and_gradient(objective, variables, perturbed, images):
  return jax.value_and_grad(objective, argnums=1)(variables, perturbed, images)


def adversarial(variables, perturbed, data):
  return tiny_robust.loss(*variables, perturbed, data)[0]


def paired(variables, perturbed, images):
  """D by the plan I/m."""
  vectors, others = (
    tiny_robust.pooled(variables, x) for x in (images, perturbed)
  )
  vectors, others = (
    x / jnp.linalg.norm(x, axis=1, keepdims=True) for x in (vectors, others)
  )
  return jnp.mean(1 - jnp.sum(vectors * others, axis=1))


OBJECTIVES = {
  'ot': ('ot/distance', tiny_robust.distance),
  'distance': ('distance', paired),
  'adversarial': ('adversarial/loss', adversarial),
}


@pytest.mark.parametrize('kind', OBJECTIVES)
def test_one_step_by_hand(kind, network):
  """From the random start, along the sign, back into ball and range."""
  variables, (images, data) = network
  target_images, metrics = find(network, kind=kind)
  name, objective = OBJECTIVES[kind]
  other = data if kind == 'adversarial' else images
  start = tiny_robust.start(images, KEY)
  before, slope = value_and_gradient(objective, variables, start, other)
  assert metrics[name] == pytest.approx(float(before), rel=1e-3)
  expected = start + tiny_robust.EPSILON * np.sign(slope)
  low, high = (
    np.clip(images + 2 * sign * tiny_robust.EPSILON, -1, 1) for sign in (-1, 1)
  )
  # Where rounding can change the sign it is not compared.
  clear = np.abs(slope) > 1e-3 * np.abs(slope).max()
  assert clear.mean() > 0.9
  np.testing.assert_allclose(
    np.asarray(target_images)[clear],
    np.clip(expected, low, high)[clear],
    atol=1e-6,
  )


@pytest.mark.parametrize('kind', OBJECTIVES)
def test_small_steps_raise_the_objective(kind, network):
  variables, (images, data) = network
  target_images, metrics = find(network, kind=kind, step_size=1e-4, num_steps=2)
  name, objective = OBJECTIVES[kind]
  other = data if kind == 'adversarial' else images
  after, _ = value_and_gradient(objective, variables, target_images, other)
  assert after > metrics[name]


@pytest.mark.parametrize(
  'changes',
  [
    {'kind': 'random'},
    {'kind': 'ot', 'step_size': 0.5, 'num_steps': 2},
    {'kind': 'ot', 'statistics': 'batch', 'detach_plan': True},
    {'kind': 'ot', 'solver': transport.ipot},
    {'kind': 'distance', 'statistics': 'batch'},
    {'kind': 'adversarial', 'statistics': 'batch', 'step_size': 1.0},
    {'kind': 'ot', 'epsilon': 1.0, 'step_size': 1.0},
  ],
)
def test_target_images_lie_in_ball_and_range(changes, network):
  _, (images, _) = network
  target_images, metrics = find(network, **changes)
  tiny_robust.assert_inside(
    target_images, images, changes.get('epsilon', tiny_robust.EPSILON)
  )
  # A third of the values lie at the ends of the range.
  assert (np.asarray(target_images) != images).mean() > 0.7
  assert all(np.isfinite(value) for value in metrics.values())
  if changes['kind'] == 'ot':
    names = 'distance', 'error', 'converged', 'diagonal'
    assert metrics.keys() == {f'ot/{name}' for name in names}
    assert metrics['ot/distance'] > 0
    assert 0 < metrics['ot/diagonal'] <= 1 + 1e-5


def test_the_diagonal_tells_a_sharp_plan_from_one_that_tells_nothing(network):
  """The mass is that of the images' own copies: four images."""
  (params, stats), (images, _) = network
  task = tiny_robust.task()
  vectors, others = (
    task.vectors(task.apply_eval(params, stats, x))[0]
    for x in (images, tiny_robust.start(images, KEY))
  )
  for epsilon, mass in ((1e4, 0.25), (1e-4, 1.0)):
    solver = functools.partial(
      transport.sinkhorn, epsilon=epsilon, num_iterations=20
    )
    _, metrics = find(network, kind='ot', solver=solver)
    plan = solver(transport.cosine_cost(vectors, others))
    assert metrics['ot/diagonal'] == pytest.approx(mass, abs=1e-2)
    assert metrics['ot/diagonal'] == pytest.approx(
      float(np.trace(plan.matrix)), abs=1e-4
    )


def test_radius_zero_gives_the_images(network):
  _, (images, _) = network
  for kind in ('random', 'ot'):
    target_images, _ = find(network, kind=kind, epsilon=0.0)
    np.testing.assert_array_equal(target_images, images)


def test_why_the_start_is_random(network):
  """At x⁰ = x each vector is nearest to itself: nothing shows the way."""
  variables, (images, _) = network
  start = tiny_robust.start(images, KEY)
  largest = {}
  for name, perturbed in (('random', start), ('images', images)):
    _, slope = value_and_gradient(paired, variables, perturbed, images)
    largest[name] = np.abs(slope).max()
  assert largest['images'] < 1e-3 * largest['random']

  # Transport with a sharp plan, whose vectors lie apart.
  def sharp(perturbed):
    return transport.matching_distance(
      jax.lax.stop_gradient(perturbed_vectors(images)),
      perturbed_vectors(perturbed),
      solver=functools.partial(transport.sinkhorn, epsilon=0.001),
    )[0]

  def perturbed_vectors(images):
    return tiny_robust.pooled(variables, images)

  gradient = tiny_robust.quick_jit(jax.grad(sharp))
  assert np.abs(gradient(images)).max() < 1e-2 * np.abs(gradient(start)).max()


def test_no_gradient_passes_through_target_images(network):
  """Neither to the network nor to the clean images and their vectors."""
  variables, (images, data) = network
  perturbation = tiny_robust.perturbation('ot')

  @tiny_robust.quick_jit
  @functools.partial(jax.grad, argnums=(0, 1))
  def slopes(params, images):
    target_images, _ = perturb.find_target_images(
      tiny_robust.task(),
      perturbation,
      (params, variables[1]),
      (images, data),
      KEY,
    )
    return jnp.sum(target_images)

  for leaf in jax.tree.leaves(slopes(variables[0], images)):
    assert (np.asarray(leaf) == 0).all()


@pytest.mark.parametrize(
  'vector, sizes',
  [
    ('pooled', [6]),
    ('levels', [6, 6]),
    ('logits', [4 * 4 * 2]),
    ('flat', [4 * 4 * 6]),
  ],
)
def test_vectors_of_a_detector(vector, sizes, network):
  (params, stats), (images, _) = network
  task = tiny_robust.task(vector=vector)
  vectors = task.vectors(task.apply_eval(params, stats, images))
  assert [x.shape for x in vectors] == [(4, size) for size in sizes]
  expected = tiny_robust.pooled((params, stats), images)
  if vector in ('pooled', 'levels'):
    np.testing.assert_allclose(vectors[-1], expected, atol=1e-6)
  if vector == 'levels':
    # Each level is transported by itself.
    start = tiny_robust.start(images, KEY)
    others = task.vectors(task.apply_eval(params, stats, start))
    distances = [
      float(transport.matching_distance(*pair, solver=tiny_robust.SOLVER)[0])
      for pair in zip(vectors, others, strict=True)
    ]
    _, metrics = find(network, task, kind='ot')
    assert metrics['ot/distance'] == pytest.approx(np.mean(distances), rel=1e-3)


def test_an_objective_that_is_no_number_leaves_the_images(network):
  """Then the metric alone is NaN, and the run is refused by its name."""
  variables, (images, data) = network
  task = tiny_robust.task()
  task = task._replace(vectors=lambda outputs: [outputs[1][1].mean((1, 2)) / 0])
  target_images, metrics = find((variables, (images, data)), task, kind='ot')
  start = tiny_robust.start(images, KEY)
  np.testing.assert_allclose(target_images, start, atol=1e-6)
  assert np.isnan(metrics['ot/distance'])


@pytest.mark.parametrize(
  'changes, message',
  [
    ({'kind': 'best'}, 'kind=best: choose one of none, random, ot'),
    ({'epsilon': -0.1}, 'epsilon=-0.1: give a share of the range'),
    ({'epsilon': 8}, 'epsilon=8: give a share of the range'),
    ({'epsilon': float('nan')}, 'epsilon=nan: give'),
    ({'step_size': 0}, 'step_size=0: give a number above 0'),
    ({'num_steps': 0}, 'num_steps=0: give 1 or more'),
    ({'replays': 0}, 'replays=0: give 1 or more'),
    ({'statistics': 'both'}, 'statistics=both: choose one of running, batch'),
  ],
)
def test_errors_name_what_is_wrong(changes, message):
  with pytest.raises(ValueError, match=f'^{message}'):
    perturb.check(perturb.Perturbation(**changes))


def test_a_vector_that_is_not_there_is_refused():
  with pytest.raises(ValueError, match=r'^vector=last: choose one of pooled'):
    tiny_robust.task(vector='last')

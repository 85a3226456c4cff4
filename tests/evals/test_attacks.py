"""Attacks: known optima, a network without defence, radius and range."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from palmjax.evals import attacks
from palmjax.ops import ball

SHAPE = (4, 6, 6, 3)
RADIUS = 8 / 255
ATTACKS = {
  'fgsm': attacks.fgsm,
  'pgd': functools.partial(attacks.pgd, num_steps=10, restarts=2),
  'apgd': functools.partial(attacks.apgd, num_steps=10),
  'square': functools.partial(attacks.square, num_steps=40),
}


def numbers(seed, shape=SHAPE):
  return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


# Some values lie at the ends of the range.
IMAGES = np.clip(np.float32(0.8) * numbers(0), -1, 1)
WEIGHTS = numbers(1, SHAPE[1:])
HIDDEN, LAST = numbers(2, (108, 12)) / 5, numbers(3, (12,))


@jax.jit
def linear(images):
  return jnp.sum(WEIGHTS * images, axis=(1, 2, 3))


@jax.jit
def network(images):
  """Two layers and no defence."""
  hidden = jnp.tanh(images.reshape(len(images), -1) @ HIDDEN)
  return jax.nn.softplus(hidden @ LAST)


@functools.partial(jax.jit, static_argnums=(0, 1))
def attacked(name, objective, images, radius, seed=0):
  return ATTACKS[name](objective, images, jax.random.key(seed), radius=radius)


@functools.partial(jax.jit, static_argnums=(0, 1, 3))
def by_steps(attack, objective, images, num_steps, radius):
  return attack(
    objective, images, jax.random.key(0), radius=radius, num_steps=num_steps
  )


def assert_inside(perturbed, radius):
  # A share of [0, 1] is twice as much of [−1, 1].
  assert np.abs(perturbed - IMAGES).max() <= 2 * radius + 2e-7
  assert np.abs(perturbed).max() <= 1


@pytest.mark.parametrize('name', ['fgsm', 'pgd', 'apgd'])
@pytest.mark.parametrize('radius', [RADIUS, 1.0])
def test_the_optimum_of_a_linear_network(name, radius):
  """At radius 1 all images are the same: the ends of the range."""
  best = np.clip(IMAGES + 2 * radius * np.sign(WEIGHTS), -1, 1)
  reached = attacked(name, linear, IMAGES, radius)
  np.testing.assert_allclose(reached, best, atol=1e-6)


def test_squares_come_near_the_optimum_of_a_linear_network():
  clean = np.asarray(linear(IMAGES))
  best = linear(np.clip(IMAGES + 2 * RADIUS * np.sign(WEIGHTS), -1, 1))
  few, many = (
    (linear(by_steps(attacks.square, linear, IMAGES, n, RADIUS)) - clean)
    / (best - clean)
    for n in (10, 1000)
  )
  assert (few >= 0).all()
  assert (few < many).all()
  assert (many > 0.6).all()
  assert (many <= 1 + 1e-6).all()


@pytest.mark.parametrize('name', ATTACKS)
@pytest.mark.parametrize('radius', [0.0, RADIUS, 1.0])
def test_radius_range_and_never_below_the_images(name, radius):
  perturbed = np.asarray(attacked(name, network, IMAGES, radius))
  assert_inside(perturbed, radius)
  gain = np.asarray(network(perturbed)) - network(IMAGES)
  assert (gain >= -1e-6).all()
  if radius == 0:
    np.testing.assert_array_equal(perturbed, IMAGES)
  elif radius == RADIUS:
    assert (gain > 0).all()


@pytest.mark.parametrize('name', ATTACKS)
def test_a_larger_radius_raises_the_objective(name):
  """Of a network without any defence."""
  means = [
    np.mean(network(attacked(name, network, IMAGES, radius)))
    for radius in (1 / 255, 4 / 255, 16 / 255)
  ]
  assert np.mean(network(IMAGES)) < means[0] < means[1] < means[2]


def test_gradients_beat_squares_and_one_step():
  """Else gradients are masked, and no attack by them can be believed."""
  values = {
    name: np.asarray(network(attacked(name, network, IMAGES, 0.1)))
    for name in ATTACKS
  }
  assert (values['pgd'] > values['square']).all()
  assert (values['apgd'] > values['square']).all()
  assert (values['pgd'] >= values['fgsm'] - 1e-6).all()


def test_more_steps_of_pgd_never_lower_the_objective():
  values = [
    np.asarray(network(by_steps(attacks.pgd, network, IMAGES, n, 0.1)))
    for n in (0, 1, 6)
  ]
  assert (values[0] <= values[1] + 1e-6).all()
  assert (values[1] <= values[2] + 1e-6).all()
  assert (values[0] < values[2]).all()


@pytest.mark.parametrize('attack', [attacks.apgd, attacks.square])
def test_more_planned_steps_raise_the_objective(attack):
  few, many = (
    network(by_steps(attack, network, IMAGES, n, 0.1)) for n in (2, 30)
  )
  assert np.mean(few) < np.mean(many)


def test_restarts_never_lower_the_objective():
  @jax.jit
  def ripples(images):
    """Many maxima."""
    return jnp.sum(jnp.sin(8 * images) + 0.1 * images, axis=(1, 2, 3))

  by_pgd = jax.jit(
    functools.partial(attacks.pgd, ripples, radius=0.2, num_steps=4),
    static_argnames='restarts',
  )

  one, three = (
    np.asarray(ripples(by_pgd(IMAGES, jax.random.key(0), restarts=restarts)))
    for restarts in (1, 3)
  )
  # Values here and in the attack are rounded differently.
  assert (one <= three + 1e-3).all()
  assert (one < three - 0.1).any()


@pytest.mark.parametrize('name', ATTACKS)
def test_each_image_is_attacked_by_itself(name):
  others = np.concatenate([IMAGES[:1], numbers(9)[1:] / 4])
  one, many = (
    np.asarray(attacked(name, network, x, RADIUS)) for x in (IMAGES, others)
  )
  np.testing.assert_allclose(one[0], many[0], atol=1e-6)
  assert (one[1:] != many[1:]).any()


@pytest.mark.parametrize('name', ['fgsm', 'pgd', 'apgd'])
def test_a_batch_is_its_images(name):
  whole = np.asarray(attacked(name, linear, IMAGES, RADIUS))
  for i in range(len(IMAGES)):
    single = attacked(name, linear, IMAGES[i : i + 1], RADIUS)
    np.testing.assert_allclose(np.asarray(single)[0], whole[i], atol=1e-6)


@pytest.mark.parametrize('name', ['pgd', 'apgd', 'square'])
def test_keys_differ(name):
  one, other = (
    np.asarray(attacked(name, network, IMAGES, RADIUS, seed=seed))
    for seed in (0, 1)
  )
  assert (one != other).any()


@pytest.mark.parametrize('name', ATTACKS)
def test_radii_share_a_compilation(name):
  traces = []

  @jax.jit
  def run(images, radius):
    traces.append(name)
    return ATTACKS[name](linear, images, jax.random.key(0), radius=radius)

  for radius in (0.01, 0.3):
    assert_inside(run(IMAGES, radius), radius)
  assert len(traces) == 1


@pytest.mark.parametrize('name', ATTACKS)
def test_values_that_are_no_numbers_are_not_kept(name):
  """A network that overflows far from the images is no better there."""

  @jax.jit
  def overflowing(images):
    far = jnp.abs(images - IMAGES).max(axis=(1, 2, 3)) > 1.9 * RADIUS
    return jnp.where(far, jnp.nan, linear(images))

  perturbed = attacked(name, overflowing, IMAGES, RADIUS)
  assert np.isfinite(overflowing(perturbed)).all()
  reached = np.asarray(overflowing(perturbed))
  assert (reached >= np.asarray(linear(IMAGES)) - 1e-5).all()
  assert_inside(perturbed, RADIUS)


@pytest.mark.parametrize(
  'num_steps, at',
  [
    # As published, §3.
    (100, [22, 41, 57, 70, 80, 87, 93, 99]),
    (50, [11, 21, 29, 35, 40, 44, 47]),
    (1, []),
  ],
)
def test_checkpoints_of_apgd(num_steps, at):
  checks, gaps = attacks.checkpoints(num_steps)
  assert np.flatnonzero(checks).tolist()[: len(at)] == at
  assert len(checks) == len(gaps) == num_steps
  np.testing.assert_array_equal(np.cumsum(np.asarray(gaps)[checks]), at)


def test_apgd_halves_its_steps_where_they_no_longer_help():
  """A sharp maximum within the ball: PGD with fixed steps hops around it."""
  peak = np.clip(IMAGES + 0.1 * numbers(5), -1, 1)

  @jax.jit
  def hill(images):
    return -jnp.sum(jnp.abs(images - peak), axis=(1, 2, 3))

  radius = 0.3
  fixed, halving = (
    np.asarray(hill(by_steps(attack, hill, IMAGES, 50, radius)))
    for attack in (attacks.pgd, attacks.apgd)
  )
  assert (halving > 0.5 * fixed).all()


def twin_of_apgd(objective, image, start, radius, num_steps, at):
  """Algorithm 1, one image; the momentum of a halving is from x^(k−1)."""
  slope = jax.jit(jax.value_and_grad(lambda x: objective(x[None])[0]))
  low, high = (np.clip(image + 2 * s * radius, -1, 1) for s in (-1, 1))
  x = before = start
  best, values, size, last, halved, mark = None, [], 4 * radius, 0, True, None
  halvings = 0
  for i in range(num_steps):
    value, uphill = map(np.asarray, slope(x))
    values.append(value)
    if best is None or value > best[0]:
      best = (value, x, uphill)
    if i in at:
      rises = sum(values[j] > values[j - 1] for j in range(last + 1, i + 1))
      stuck = rises < 0.75 * (i - last) or (not halved and best[0] <= mark)
      last, halved, mark = i, stuck, best[0]
      if stuck:
        size /= 2
        _, x, uphill = best
        halvings += 1
    step = np.clip(x + size * np.sign(uphill), low, high)
    share = 0.75 if i else 1.0
    new = x + share * (step - x) + (1 - share) * (x - before)
    before, x = x, np.clip(new, low, high)
  value, _ = slope(x)
  return (x if value > best[0] else best[1]), halvings


def test_apgd_by_hand():
  peak = np.clip(IMAGES + 0.1 * numbers(5), -1, 1)

  def objective(images, peak=peak):
    return -jnp.sum(jnp.abs(WEIGHTS) * (images - peak) ** 2, axis=(1, 2, 3))

  attacked = np.asarray(by_steps(attacks.apgd, objective, IMAGES, 50, 0.3))
  uniform = jax.jit(functools.partial(ball.uniform, radius=0.3))
  starts = np.asarray(uniform(jax.random.key(0), IMAGES))
  for i in range(len(IMAGES)):
    expected, halvings = twin_of_apgd(
      lambda images, i=i: objective(images, peak[i]),
      IMAGES[i],
      starts[i],
      0.3,
      50,
      [11, 21, 29, 35, 40, 44, 47],
    )
    assert halvings > 3
    np.testing.assert_allclose(attacked[i], expected, atol=1e-4)

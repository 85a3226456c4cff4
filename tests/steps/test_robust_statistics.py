"""BatchNorm of the update: of both kinds of images together, or apart."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from palmjax.steps import robust
from tests.steps import tiny_robust, tiny_updates


@pytest.mark.slow
def test_joint_statistics_are_those_of_both():
  state, after, metrics = tiny_updates.run('random', statistics='joint')
  data = tiny_robust.batch()
  images = tiny_robust.images(data)
  perturbed = tiny_updates.target_images('random', state, data)
  twice = jax.tree.map(lambda x: np.concatenate([x, x]), data)
  loss, _, stats = tiny_robust.quick_jit(
    tiny_robust.loss, static_argnames='train'
  )(
    state.params,
    state.stats,
    jnp.concatenate([images, perturbed]),
    twice,
    train=True,
  )
  chex.assert_trees_all_close(after.stats, stats, atol=1e-5)
  # Each half has as many hands: the mean of both is that of all.
  np.testing.assert_allclose(
    (metrics['clean'] + metrics['perturbed']) / 2, loss, rtol=1e-3
  )


def test_separate_statistics_do_not_see_the_other_images():
  """The set that is used later is that of plain training."""
  state, after, metrics = tiny_updates.run('random', statistics='separate')
  _, plain, plain_metrics = tiny_updates.run('none', statistics='joint')
  chex.assert_trees_all_close(
    robust.network_stats(after.stats), plain.stats, atol=1e-6
  )
  assert metrics['clean'] == pytest.approx(float(plain_metrics['clean']))
  data = tiny_robust.batch()
  loss, _, stats = tiny_robust.quick_jit(
    tiny_robust.loss, static_argnames='train'
  )(
    state.params,
    robust.network_stats(state.stats),
    tiny_updates.target_images('random', state, data),
    data,
    train=True,
  )
  chex.assert_trees_all_close(after.stats['perturbed'], stats, atol=1e-5)
  assert metrics['perturbed'] == pytest.approx(float(loss), rel=1e-4)


@pytest.mark.parametrize(
  'kind', ['ot', pytest.param('adversarial', marks=pytest.mark.slow)]
)
def test_target_images_are_found_through_the_statistics_of_their_loss(kind):
  """Of two sets the attack meets the network that L2 is taken through."""
  step, state = tiny_updates.make(kind, statistics='separate')
  other = jax.tree.map(lambda x: x + 1.0, state.stats['perturbed'])
  state = state.replace(stats={**state.stats, 'perturbed': other})
  data = tiny_robust.batch()
  _, metrics = tiny_robust.quick_jit(step)(state, None, data, tiny_updates.KEY)
  images = tiny_robust.images(data)
  start = tiny_robust.start(
    images,
    jax.random.fold_in(jax.random.fold_in(tiny_updates.KEY, state.step), 1),
  )

  def objective(stats):
    if kind == 'ot':
      return tiny_robust.distance((state.params, stats), start, images)
    return tiny_robust.loss(state.params, stats, start, data)[0]

  name = {'ot': 'ot/distance', 'adversarial': 'adversarial/loss'}[kind]
  assert metrics[name] == pytest.approx(float(objective(other)), rel=1e-3)
  wrong = float(objective(robust.network_stats(state.stats)))
  assert abs(metrics[name] - wrong) > 0.01 * wrong

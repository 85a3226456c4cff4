"""One update of the tiny detector on perturbed images."""

import jax

from palmjax.steps import perturb, robust
from tests.steps import tiny_robust

KEY = jax.random.key(4)
WEIGHT, RATE = 0.5, 0.1


def make(kind, *, task=None, tx=tiny_robust.SGD, **options):
  """(step, state)."""
  changes = options.pop('changes', {})
  perturbation = tiny_robust.perturbation(kind, **changes)
  options = {'weight': WEIGHT, 'statistics': 'running'} | options
  step = robust.make_step(
    task or tiny_robust.task(), tx, perturbation, **options
  )
  state = robust.create_state(
    tiny_robust.state(tx),
    perturbation,
    images=(4, 16, 16, 3),
    statistics=options['statistics'],
  )
  return step, state


def run(kind, **options):
  """(state before, after, metrics) of one step."""
  step, state = make(kind, **options)
  after, metrics = tiny_robust.quick_jit(step)(
    state, None, tiny_robust.batch(), KEY
  )
  return state, after, metrics


def target_images(kind, state, data):
  """x* with the keys of the step."""
  key = jax.random.fold_in(KEY, state.step)
  return tiny_robust.quick_jit(
    lambda variables, examples: perturb.find_target_images(
      tiny_robust.task(),
      tiny_robust.perturbation(kind),
      variables,
      examples,
      jax.random.fold_in(key, 1),
    )[0]
  )(
    (state.params, robust.network_stats(state.stats)),
    (tiny_robust.images(data), data),
  )

"""Target images of an update: perturbed copies that are pushed away.

  x⁰ = clip(x + U(−ε, ε))                                  perturbed images
  f  = vectors(network(x)),  g = vectors(network(x⁰))      standard, perturbed
  D  = Σ T_ij C_ij(f, g)                                   `losses.transport`
  x* = clip(Π_ε(x⁰ + α sign ∂D/∂x⁰)),  `num_steps` times   target images

(CN112215298A, claims 2 and 3; arXiv:1907.10764). No label is needed. The random
start is: at x⁰ = x each vector is nearest to itself and the gradient of D is 0.

What is maximised can be changed, to tell what transport adds:

  'ot'           D by transport, the method
  'distance'     D by the plan I/m: each image against itself
  'adversarial'  the training loss (arXiv:1412.6572), which needs labels
  'random'       nothing: x* = x⁰
  'free'         the training loss at the update before, see `steps.robust`
  'none'         there are no target images

Images are float in [−1, 1]; ε and α are shares of this range, as if it were
[0, 1]: 4/255 is four grey levels. The network computes in float32 here, see
`steps.perturbed_tasks`.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from palmjax.losses import transport
from palmjax.ops import ball

KINDS = ('none', 'random', 'ot', 'distance', 'adversarial', 'free')
# Kinds that raise an objective, with the metric that it is.
ASCENTS = {
  'ot': 'ot/distance',
  'distance': 'distance',
  'adversarial': 'adversarial/loss',
}
# In the attack: of the running statistics, or of the perturbed batch.
ATTACK_STATISTICS = ('running', 'batch')


class Perturbation(NamedTuple):
  """How target images are found.

  Attributes:
    kind: of `KINDS`.
    epsilon: ε, largest change of a value, share of the range.
    step_size: α of a step, share of the range.
    num_steps: of the ascent.
    solver: cost → `transport.Plan`, of kind 'ot'.
    detach_plan: no gradient passes through the plan.
    statistics: of `ATTACK_STATISTICS`.
    replays: updates by each batch, of kind 'free'.
  """

  kind: str = 'ot'
  epsilon: float = 8 / 255
  step_size: float = 8 / 255
  num_steps: int = 1
  solver: object = transport.sinkhorn
  detach_plan: bool = False
  statistics: str = 'running'
  replays: int = 1


def check(perturbation):
  """Refuses a `Perturbation` that cannot be.

  Raises:
    ValueError: names the attribute and what it may be.
  """
  if perturbation.kind not in KINDS:
    raise ValueError(
      f'kind={perturbation.kind}: choose one of {", ".join(KINDS)}'
    )
  if not 0 <= perturbation.epsilon <= 1:
    raise ValueError(
      f'epsilon={perturbation.epsilon}: give a share of the range, 0 to 1'
    )
  if not perturbation.step_size > 0:
    raise ValueError(
      f'step_size={perturbation.step_size}: give a number above 0'
    )
  for name in ('num_steps', 'replays'):
    if getattr(perturbation, name) < 1:
      raise ValueError(f'{name}={getattr(perturbation, name)}: give 1 or more')
  if perturbation.statistics not in ATTACK_STATISTICS:
    raise ValueError(
      f'statistics={perturbation.statistics}: choose one of '
      f'{", ".join(ATTACK_STATISTICS)}'
    )


def ascend(objective, start, images, *, epsilon, step_size, num_steps):
  """Steps along the sign of a gradient, within ε of images.

  Args:
    objective: float [B, h, w, c] → (scalar, anything).
    start: x⁰.
    images: x, of that shape.
    epsilon, step_size, num_steps: ε, α and the number of steps.

  Returns:
    (x*, objective at `start`, what came with it there). A value whose gradient
    is NaN does not move: if the objective is not finite, x* is `start`.
  """
  gradient = jax.value_and_grad(objective, has_aux=True)
  perturbed, first = start, None
  for _ in range(num_steps):
    value, direction = gradient(perturbed)
    if first is None:
      first = value
    sign = jnp.where(jnp.isnan(direction), 0.0, jnp.sign(direction))
    perturbed = ball.project(
      perturbed + 2 * step_size * sign, images, radius=epsilon
    )
  return jax.lax.stop_gradient(perturbed), *first


def find_target_images(task, perturbation, variables, examples, key):
  """x* of a batch, from standard and perturbed vectors (claim 2).

  Args:
    task: `perturbed_tasks.Task`.
    perturbation: `Perturbation` of a kind other than 'none' and 'free'.
    variables: (params, stats) of the network; no gradient reaches them.
    examples: (images float [B, h, w, c] in [−1, 1], targets), of
      `task.prepare`.
    key: of the uniform start.

  Returns:
    (x*, metrics of the ascent: its objective before it, as 'ot/distance',
    'distance' or 'adversarial/loss'; of transport 'ot/error' and 'ot/converged'
    of the plan, and 'ot/diagonal', the share of an image's mass that moves to
    its own copy: 1/B of a plan that tells no images apart). One that is not
    finite is seen there only.
  """
  variables = jax.lax.stop_gradient(variables)
  images, targets = examples
  start = ball.uniform(key, images, radius=perturbation.epsilon)
  if perturbation.kind == 'random':
    return start, {}
  forward = functools.partial(
    _attacked, task, variables, perturbation.statistics
  )
  if perturbation.kind == 'adversarial':

    def objective(images):
      loss, _ = task.loss(variables[0], forward(images), targets)
      return loss, {'adversarial/loss': loss}

  else:
    standard = [jax.lax.stop_gradient(x) for x in task.vectors(forward(images))]
    objective = functools.partial(
      _distance, task, forward, standard, perturbation
    )
  target_images, _, metrics = ascend(
    objective,
    start,
    images,
    epsilon=perturbation.epsilon,
    step_size=perturbation.step_size,
    num_steps=perturbation.num_steps,
  )
  return target_images, metrics


def gained(perturbation, metrics, standard, perturbed, loss):
  """How far an ascent has raised its objective.

  Args:
    perturbation: `Perturbation` of a kind of `ASCENTS`.
    metrics: of `find_target_images`, with the objective before the ascent.
    standard, perturbed: vectors of x and of x*, lists of float [B, D].
    loss: of x*, scalar.

  Returns:
    {'ot/gained', 'distance/gained' or 'adversarial/gained': scalar}.
  """
  kind = perturbation.kind
  after = loss
  if kind != 'adversarial':
    pairs = list(zip(standard, perturbed, strict=True))
    after, _ = _mean_distance(pairs, perturbation)
  # If it is not finite, the objective is, by its own name, what is refused.
  return {f'{kind}/gained': jnp.nan_to_num(after - metrics[ASCENTS[kind]])}


def _attacked(task, variables, statistics, images):
  """Outputs for the attack; statistics that it makes are thrown away."""
  params, stats = variables
  if statistics == 'running':
    return task.attack_eval(params, stats, images)
  # Without dropout there is nothing random.
  outputs, _ = task.attack_train(params, stats, images, jax.random.key(0))
  return outputs


def _distance(task, forward, standard, perturbation, images):
  """(mean distance of the vectors' sets, metrics)."""
  perturbed = task.vectors(forward(images))
  return _mean_distance(
    list(zip(standard, perturbed, strict=True)), perturbation
  )


def _mean_distance(pairs, perturbation):
  """`_distance` of pairs (float [B, D] of x, of its copies)."""
  if perturbation.kind == 'distance':
    value = sum(transport.paired_distance(*pair) for pair in pairs) / len(pairs)
    return value, {'distance': value}
  matchings = [
    transport.matching_distance(
      *pair,
      solver=perturbation.solver,
      detach_plan=perturbation.detach_plan,
    )
    for pair in pairs
  ]
  value = sum(distance for distance, _ in matchings) / len(matchings)
  return value, {
    'ot/distance': value,
    'ot/error': jnp.max(jnp.stack([plan.error for _, plan in matchings])),
    'ot/converged': jnp.mean(
      jnp.stack([plan.converged for _, plan in matchings]).astype(jnp.float32)
    ),
    # A run of costs that are no numbers is refused by the name of the distance.
    'ot/diagonal': jnp.nan_to_num(
      jnp.mean(jnp.stack([jnp.trace(plan.matrix) for _, plan in matchings]))
    ),
  }

"""Attacks on a network: images near the given ones that raise an objective.

  max over |x' − x|∞ ≤ ε, x' in the range, of objective(x')

for each image by itself.

  fgsm     one step of size ε along the sign of the gradient (arXiv:1412.6572)
  pgd      steps of a fixed size from a random start (arXiv:1706.06083)
  apgd     steps that are halved where they no longer help, with momentum
           (arXiv:2003.01690); needs no step size
  square   changes in random squares that are kept where they help; reads no
           gradient (arXiv:1912.00049)

Each returns the best images that it saw, the given ones among them: no attack
lowers the objective. More steps of PGD, and more restarts, only add to what it
sees. Steps of APGD and of squares are planned by their number, so a longer run
takes another way. Images are float in [−1, 1], radii shares of that range
(`ops.ball`); radii may be traced, so one compilation serves all of them.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from palmjax.ops import ball

# Step of PGD, as a share of the radius: 2/255 of 8/255 in the published code.
PGD_STEP = 0.25
_MOMENTUM = 0.75
# Of APGD: share of the steps to the first checkpoint, by how much the next gaps
# shrink, and the smallest; steps that must have helped since the last one.
_FIRST, _SHRINK, _SMALLEST, _HELPED = 0.22, 0.03, 0.06, 0.75
# Of the square attack: the share of the area of the first squares, and the
# shares of the steps after which it is halved.
_AREA = 0.3
_HALVED = (0.001, 0.005, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8)


def fgsm(objective, images, key, *, radius):
  """One step along the sign of the gradient; arguments as of `pgd`."""
  del key
  best = _Best.of(objective, images)
  gradient = _gradient(objective)
  moved = images + 2 * radius * jnp.sign(gradient(images))
  return best.offer(
    objective, ball.project(moved, images, radius=radius)
  ).images


def pgd(objective, images, key, *, radius, num_steps, restarts=1):
  """Projected gradient ascent from random starts.

  Args:
    objective: float [B, h, w, c] → float [B], of each image by itself.
    images: float [B, h, w, c] in [−1, 1].
    key: random key.
    radius: ε in [0, 1], may be traced.
    num_steps: of each start.
    restarts: starts; the best of all is kept.

  Returns:
    float [B, h, w, c], within the radius and the range.
  """
  gradient = _value_and_gradient(objective)

  def step(_, carry):
    moving, best = carry
    values, direction = gradient(moving)
    best = best.take(moving, values)
    moving = moving + 2 * PGD_STEP * radius * jnp.sign(direction)
    return ball.project(moving, images, radius=radius), best

  best = _Best.of(objective, images)
  for i in range(restarts):
    start = ball.uniform(jax.random.fold_in(key, i), images, radius=radius)
    moving, best = jax.lax.fori_loop(0, num_steps, step, (start, best))
    best = best.offer(objective, moving)
  return best.images


def apgd(objective, images, key, *, radius, num_steps):
  """Auto-PGD, Algorithm 1 of arXiv:2003.01690; arguments as of `pgd`.

  Where a step is halved the next one starts at the best images, and its
  momentum is the way to these from the iterate before. The start is uniform
  noise, and the given images count as seen.
  """
  gradient = _value_and_gradient(objective)
  checks, gaps = checkpoints(num_steps)
  count = len(images)
  start = ball.uniform(key, images, radius=radius)

  def wide(values):
    return values.reshape(count, 1, 1, 1)

  def step(i, carry):
    moving, before, values, best, uphill, sizes, helped, marked = carry
    new_values, direction = gradient(moving)
    # The start is no step.
    helped += (new_values > values) & (i > 0)
    values = new_values
    uphill = jnp.where(wide(values > best.values), direction, uphill)
    best = best.take(moving, values)
    # At a checkpoint: few steps helped, or neither best nor step size changed.
    mark, mark_sizes = marked
    stuck = (helped < _HELPED * gaps[i]) | (
      (best.values <= mark) & (sizes == mark_sizes)
    )
    halve = checks[i] & stuck
    sizes_after = jnp.where(halve, sizes / 2, sizes)
    marked = (
      jnp.where(checks[i], best.values, mark),
      jnp.where(checks[i], sizes, mark_sizes),
    )
    helped = jnp.where(checks[i], 0, helped)
    origin = jnp.where(wide(halve), best.images, moving)
    direction = jnp.where(wide(halve), uphill, direction)
    # The momentum still starts at the iterate before (Algorithm 1).
    plain = ball.project(
      origin + 2 * wide(sizes_after) * jnp.sign(direction),
      images,
      radius=radius,
    )
    share = jnp.where(i == 0, 1.0, _MOMENTUM)
    new = origin + share * (plain - origin) + (1 - share) * (origin - before)
    new = ball.project(new, images, radius=radius)
    return new, origin, values, best, uphill, sizes_after, helped, marked

  sizes = jnp.full(count, 2.0 * radius, jnp.float32)
  lowest = jnp.full(count, -jnp.inf)
  carry = (
    start,
    start,
    lowest,
    # Of the way alone: the images may lie off it.
    _Best(start, lowest),
    jnp.zeros_like(start),
    sizes,
    jnp.zeros(count, jnp.int32),
    (lowest, sizes),
  )
  moving, _, _, best, *_ = jax.lax.fori_loop(0, num_steps, step, carry)
  best = _Best.of(objective, images).take(*best)
  return best.offer(objective, moving).images


def checkpoints(num_steps):
  """Where APGD looks back: (bool [N], steps since the last one [N])."""
  at, share, gap = [], 0.0, _FIRST
  while share + gap < 1 - 1e-9:
    share += gap
    # 0.57 · 100 is not 57 in binary: what is off by rounding is no step more.
    at.append(max(int(np.ceil(round(share * num_steps, 6))), 1))
    gap = max(gap - _SHRINK, _SMALLEST)
  checks = np.zeros(num_steps + 1, bool)
  checks[[step for step in at if step < num_steps]] = True
  gaps, last = np.ones(num_steps + 1), 0
  for step in np.flatnonzero(checks):
    gaps[step], last = step - last, step
  return jnp.asarray(checks[:num_steps]), jnp.asarray(
    gaps[:num_steps], jnp.float32
  )


def square(objective, images, key, *, radius, num_steps):
  """Random squares, kept where they raise the objective; see `pgd`."""
  count, height, width, channels = images.shape
  areas = jnp.asarray(_areas(num_steps), jnp.float32)
  first, key = jax.random.split(key)
  stripes = _signs(first, (count, 1, width, channels))
  start = ball.project(images + 2 * radius * stripes, images, radius=radius)

  def step(i, best):
    place, colour = jax.random.split(jax.random.fold_in(key, i))
    side = jnp.sqrt(areas[i] * height * width).astype(int)
    side = jnp.clip(side, 1, min(height, width))
    corner = jax.random.uniform(place, (2, count, 1, 1))
    top = (corner[0] * (height - side + 1)).astype(int)
    left = (corner[1] * (width - side + 1)).astype(int)
    rows, columns = jnp.arange(height)[:, None], jnp.arange(width)
    inside = (rows >= top) & (rows < top + side)
    inside = inside & (columns >= left) & (columns < left + side)
    change = 2 * radius * _signs(colour, (count, 1, 1, channels))
    moved = jnp.where(inside[..., None], images + change, best.images)
    return best.offer(objective, ball.project(moved, images, radius=radius))

  best = _Best.of(objective, images).offer(objective, start)
  return jax.lax.fori_loop(0, num_steps, step, best).images


def _areas(num_steps):
  """Share of the area of the square at each step."""
  shares = np.arange(num_steps) / max(num_steps, 1)
  return _AREA / 2.0 ** np.searchsorted(_HALVED, shares, side='right')


def _signs(key, shape):
  return 2.0 * jax.random.bernoulli(key, shape=shape) - 1.0


def _gradient(objective):
  return jax.grad(lambda images: jnp.sum(objective(images)))


def _value_and_gradient(objective):
  def total(images):
    values = objective(images)
    return jnp.sum(values), values

  def both(images):
    (_, values), gradient = jax.value_and_grad(total, has_aux=True)(images)
    return values, gradient

  return both


class _Best(NamedTuple):
  """The best images so far, [B, h, w, c], and their objectives [B]."""

  images: jax.Array
  values: jax.Array

  @classmethod
  def of(cls, objective, images):
    return cls(images, objective(images))

  def take(self, images, values):
    """With other images where these are better."""
    better = values > self.values
    chosen = jnp.where(better[:, None, None, None], images, self.images)
    # A value that is NaN is not better, and does not hide later ones.
    return _Best(chosen, jnp.where(better, values, self.values))

  def offer(self, objective, images):
    """`take` of images whose objective is not known yet."""
    return self.take(images, objective(images))

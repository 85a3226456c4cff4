"""GAN training as four pure updates (arXiv:1912.04958, arXiv:2006.06676).

Discriminator, R1, generator and path length are updates of their own; R1 and
path length share the Adam state of the main update of their network, whose
coefficients come from `engine.optim.lazy_adam`. `schedule` orders the updates.

The state is that of `steps.gan.networks`.
Batch: {'image': uint8 [B, H, W, 3]}. The generator is a module with methods
`mapping` and `synthesis`, the discriminator one that maps images to logits and
takes `batches`, as `models.discriminator` does.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from palmjax.engine import state as train_state
from palmjax.losses import gan
from palmjax.ops import pixels
from palmjax.steps.gan import ada
from palmjax.steps.gan import styles as latents

# Every kind of update folds its own constant into the key of its clock.
_DISCRIMINATOR, _R1, _GENERATOR, _PATH_LENGTH = range(4)


class Steps(NamedTuple):
  """The four GAN updates: step(state, frozen, batch, key) each."""

  discriminator: Callable
  r1: Callable
  generator: Callable
  path_length: Callable


def make_steps(
  generator,
  discriminator,
  generator_tx,
  discriminator_tx,
  *,
  augment,
  r1_gamma,
  r1_interval=16,
  path_length_interval=4,
  path_length_weight=2.0,
  path_length_decay=0.01,
  path_length_shrink=2,
  style_mixing=0.9,
  w_mean_decay=0.995,
  ema_half_life_kimg=10.0,
  ema_ramp=0.05,
  ada_target=0.6,
  ada_interval=4,
  ada_ramp_kimg=500.0,
  ada_limit=1.0,
):
  """Builds the four GAN updates: discriminator, R1, generator, path length.

  Args:
    generator: generator module.
    discriminator: discriminator module.
    generator_tx: `engine.optim.lazy_adam` with the path-length interval.
    discriminator_tx: the same with the R1 interval.
    augment: `augment(key, images, p)`, differentiable twice, on all that the
      discriminator sees.
    r1_gamma: weight γ of R1.
    r1_interval: discriminator updates per R1 update; multiplies R1.
    path_length_interval: generator updates per path-length update; multiplies
      the penalty.
    path_length_weight: of the path-length penalty.
    path_length_decay: share of the present batch in the mean length.
    path_length_shrink: path lengths use batch / shrink images.
    style_mixing: probability that an image has two styles.
    w_mean_decay: of the running mean of w.
    ema_half_life_kimg: half-life of the moving average of the generator.
    ema_ramp: the half-life is at most this share of the images seen.
    ada_target: of the mean sign of the real logits.
    ada_interval: discriminator updates per update of p.
    ada_ramp_kimg: thousands of real images that move p by 1.
    ada_limit: largest p.

  Returns:
    `Steps`.
  """

  def discriminator_logits(params, images, **options):
    return discriminator.apply({'params': params}, images, **options)

  styles = functools.partial(latents.styles, generator, mixing=style_mixing)
  synthesis = functools.partial(latents.synthesis, generator)

  def discriminator_step(state, frozen, batch, key):
    del frozen  # The generator is part of the state and not differentiated.
    d, g, adapted = state['discriminator'], state['generator'], state['ada']
    key = _key(key, d.step, _DISCRIMINATOR)
    style_key, noise_key, augment_key = jax.random.split(key, 3)
    real = pixels.to_float(batch['image'])
    w, _ = styles(g.params, g.stats, len(real), style_key)
    fake = synthesis(g.params, g.stats, w, noise_key)
    images = augment(augment_key, jnp.concatenate([real, fake]), adapted['p'])

    def loss_fn(params):
      # One call, not `vmap` over two: 44 ms a step at 32 px, not 50.
      logits = discriminator_logits(params, images, batches=2).reshape(2, -1)
      return gan.discriminator_loss(logits[0], logits[1]), logits

    (loss, (real_logits, fake_logits)), grads = jax.value_and_grad(
      loss_fn, has_aux=True
    )(d.params)
    d, norms = train_state.apply_gradients(d, discriminator_tx, grads)
    adapted = ada.adapt_probability(
      adapted,
      real_logits,
      count=d.step,
      interval=ada_interval,
      target=ada_target,
      ramp_kimg=ada_ramp_kimg,
      limit=ada_limit,
    )
    metrics = {
      'd/loss': loss,
      'd/real': real_logits.mean(),
      'd/fake': fake_logits.mean(),
      'ada/p': adapted['p'],
      'ada/sign': adapted['sign'],
      **_named('d', norms),
    }
    return {**state, 'discriminator': d, 'ada': adapted}, metrics

  def r1_step(state, frozen, batch, key):
    del frozen
    d = state['discriminator']
    augment_key = _key(key, d.step, _R1)
    real = pixels.to_float(batch['image'])
    # Second derivatives need float32: TF32 and bfloat16 passes are too coarse.
    precise = discriminator.clone(dtype=jnp.float32)

    def loss_fn(params):
      penalty = gan.r1_penalty(
        lambda x: precise.apply(
          {'params': params}, augment(augment_key, x, state['ada']['p'])
        ),
        real,
        gamma=r1_gamma,
      )
      return r1_interval * penalty, penalty

    with jax.default_matmul_precision('float32'):
      grads, penalty = jax.grad(loss_fn, has_aux=True)(d.params)
    d, norms = _regularise(d, discriminator_tx, grads)
    metrics = {'d/r1': penalty, **_named('d/r1', norms)}
    return {**state, 'discriminator': d}, metrics

  def generator_step(state, frozen, batch, key):
    del frozen
    d, g = state['discriminator'], state['generator']
    key = _key(key, g.step, _GENERATOR)
    style_key, noise_key, augment_key = jax.random.split(key, 3)
    batch_size = len(batch['image'])

    def loss_fn(params):
      w, stats = styles(
        params, g.stats, batch_size, style_key, mean_decay=w_mean_decay
      )
      fake = synthesis(params, g.stats, w, noise_key)
      fake = augment(augment_key, fake, state['ada']['p'])
      loss = gan.generator_loss(discriminator_logits(d.params, fake))
      return loss, stats

    (loss, stats), grads = jax.value_and_grad(loss_fn, has_aux=True)(g.params)
    decay = gan.ema_decay(
      batch_size,
      ema_half_life_kimg,
      images_seen=g.step * batch_size,
      ramp=ema_ramp,
    )
    g, norms = train_state.apply_gradients(
      g, generator_tx, grads, stats=stats, ema_decay=decay
    )
    return {**state, 'generator': g}, {'g/loss': loss, **_named('g', norms)}

  def path_length_step(state, frozen, batch, key):
    del frozen
    g = state['generator']
    key = _key(key, g.step, _PATH_LENGTH)
    style_key, noise_key, direction_key = jax.random.split(key, 3)
    batch_size = max(1, len(batch['image']) // path_length_shrink)
    precise = generator.clone(dtype=jnp.float32)  # As in `r1_step`.

    def loss_fn(params):
      w, _ = styles(params, g.stats, batch_size, style_key)
      lengths = gan.path_lengths(
        lambda w: latents.synthesis(precise, params, g.stats, w, noise_key),
        w,
        direction_key,
      )
      penalty, mean = gan.path_length_penalty(
        lengths, state['path_length'], decay=path_length_decay
      )
      penalty = path_length_weight * penalty
      return path_length_interval * penalty, (penalty, mean)

    with jax.default_matmul_precision('float32'):
      grads, (penalty, mean) = jax.grad(loss_fn, has_aux=True)(g.params)
    g, norms = _regularise(g, generator_tx, grads)
    metrics = {
      'g/path_penalty': penalty,
      'g/path_length': mean,
      **_named('g/path', norms),
    }
    return {**state, 'generator': g, 'path_length': mean}, metrics

  return Steps(discriminator_step, r1_step, generator_step, path_length_step)


def schedule(steps, *, r1_interval=16, path_length_interval=4, order='patent'):
  """Schedule: iteration i → the updates that it runs, in order.

  'patent' (CN111860424A, claims 2 to 6): discriminator, R1 after every
  `r1_interval` of them, generator, path length after every
  `path_length_interval` discriminator updates. 'stylegan2': generator before
  discriminator, regularisers when i is a multiple of their interval, 0 too.

  Args:
    steps: `Steps`, raw or jitted.
    r1_interval: discriminator updates per R1 update.
    path_length_interval: iterations per path-length update.
    order: 'patent' or 'stylegan2'.

  Returns:
    Function from the iteration to a tuple of updates.

  Raises:
    ValueError: unknown order or an interval below 1.
  """
  if order not in ('patent', 'stylegan2'):
    raise ValueError(f"order {order!r} must be 'patent' or 'stylegan2'")
  if min(r1_interval, path_length_interval) < 1:
    raise ValueError(
      f'intervals {r1_interval} and {path_length_interval} must be at least 1'
    )

  def updates(iteration):
    count = iteration + 1 if order == 'patent' else iteration
    d = (steps.discriminator, steps.r1)[: 2 - (count % r1_interval > 0)]
    g = (steps.generator, steps.path_length)[
      : 2 - (count % path_length_interval > 0)
    ]
    return d + g if order == 'patent' else g + d

  return updates


def _key(key, step, kind):
  return jax.random.fold_in(jax.random.fold_in(key, step), kind)


def _regularise(state, tx, grads):
  """An update that shares the optimiser but does not advance the clock."""
  updates, opt_state = tx.update(grads, state.opt_state, state.params)
  params = optax.apply_updates(state.params, updates)
  state = state.replace(params=params, opt_state=opt_state)
  return state, train_state.norms(grads, updates)


def _named(prefix, norms):
  return {f'{prefix}/{name}': value for name, value in norms.items()}

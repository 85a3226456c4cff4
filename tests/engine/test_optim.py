import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from palmjax.engine import optim


def test_warmup_cosine_by_hand():
  rate = optim.warmup_cosine(0.8, num_steps=12, warmup_steps=4)
  rates = [float(rate(step)) for step in range(14)]
  np.testing.assert_allclose(rates[:5], [0.2, 0.4, 0.6, 0.8, 0.8], rtol=1e-6)
  # Halfway down the cosine, then the end.
  np.testing.assert_allclose(rates[8], 0.4, rtol=1e-6)
  np.testing.assert_allclose(
    rates[6], 0.8 * (1 + math.cos(math.pi / 4)) / 2, rtol=1e-6
  )
  np.testing.assert_allclose(rates[12:], [0, 0], atol=1e-7)
  assert rates[11] > 0.02
  jitted = jax.jit(rate)(jnp.int32(6))
  np.testing.assert_allclose(jitted, rates[6], rtol=1e-6)
  assert float(optim.warmup_cosine(0.8, num_steps=2)(0)) == pytest.approx(0.8)
  with pytest.raises(ValueError, match='of 0 to 11'):
    optim.warmup_cosine(0.8, num_steps=12, warmup_steps=12)


def test_warmup_constant_by_hand():
  rate = jax.jit(optim.warmup_constant(0.8, warmup_steps=4))
  rates = [float(rate(step)) for step in (0, 1, 2, 3, 4, 1_000_000)]
  np.testing.assert_allclose(rates, [0.2, 0.4, 0.6, 0.8, 0.8, 0.8], rtol=1e-6)
  for steps in (0, 1):
    rate = optim.warmup_constant(0.8, warmup_steps=steps)
    assert float(rate(0)) == float(rate(99)) == pytest.approx(0.8)
  with pytest.raises(ValueError, match='a warm-up of -1 steps: give 0 or more'):
    optim.warmup_constant(0.8, warmup_steps=-1)


def rates_of(losses, **changes):
  """Learning rates of SGD without momentum on a gradient of 1."""
  tx = optim.sgd(
    0.5,
    **{
      'num_steps': 4,
      'warmup_steps': 2,
      'momentum': 0.0,
      'weight_decay': 0.0,
      'max_norm': 9.0,
      **changes,
    },
  )
  one, update = np.float32(1.0), jax.jit(tx.update)
  opt_state = tx.init(one)
  rates = []
  for loss in losses:
    updates, opt_state = update(one, opt_state, one, value=np.float32(loss))
    rates.append(-float(updates))
  return rates


def test_a_constant_rate_knows_no_end():
  rates = rates_of([1.0] * 7, schedule='constant')
  np.testing.assert_allclose(rates, [0.25] + [0.5] * 6, rtol=1e-6)


def test_the_rate_falls_where_the_mean_loss_no_longer_does():
  """Means over 2 steps: 4, 3, 3, 3 (twice no better), 2, 2, 2.

  A mean counts from the update on in which it is whole.
  """
  losses = [5, 3, 4, 2, 3, 3, 3, 3, 2, 2, 2, 2, 2, 2]
  rates = rates_of(
    losses,
    schedule='plateau',
    plateau=optim.RateDecay(factor=0.5, steps=2, patience=2),
  )
  expected = [0.25] + [0.5] * 6 + [0.25] * 6 + [0.125]
  np.testing.assert_allclose(rates, expected, rtol=1e-6)


@pytest.mark.parametrize(
  'changes, message',
  [
    ({'factor': 1.0}, r'factor=1\.0: give a number between 0 and 1'),
    ({'steps': 0}, 'steps=0: give 1 or more'),
    ({'patience': 0}, 'patience=0: give 1 or more'),
  ],
)
def test_a_plateau_that_changes_nothing_is_refused(changes, message):
  with pytest.raises(ValueError, match=message):
    optim.RateDecay(**changes)


def test_an_unknown_schedule_is_refused():
  with pytest.raises(ValueError, match='schedule=linear: choose one of cosine'):
    rates_of([], schedule='linear')


def test_sgd_against_numpy():
  random = np.random.default_rng(0)
  params = {
    'kernel': random.normal(size=(3, 2)),
    'scale': random.normal(size=(2,)),
  }
  grads = [
    {'kernel': 3 * random.normal(size=(3, 2)), 'scale': random.normal(size=2)}
    for _ in range(6)
  ]
  grads[3] = {k: 0.01 * g for k, g in grads[3].items()}  # Below the clip.
  tx = optim.sgd(
    0.1,
    num_steps=8,
    warmup_steps=2,
    momentum=0.9,
    weight_decay=0.05,
    max_norm=2.0,
  )
  got = jax.tree.map(np.float32, params)
  opt_state, update = tx.init(got), jax.jit(tx.update)
  trace = dict.fromkeys(params, 0.0)
  for step, gradient in enumerate(grads):
    updates, opt_state = update(
      jax.tree.map(np.float32, gradient), opt_state, got
    )
    got = jax.tree.map(np.add, got, updates)
    norm = math.sqrt(sum((g**2).sum() for g in gradient.values()))
    rate = 0.1 * min(1, (step + 1) / 2)
    rate *= 0.5 * (1 + math.cos(math.pi * max(0, step - 2) / 6))
    for k in params:
      g = gradient[k] * min(1, 2 / norm)
      if k == 'kernel':
        g = g + 0.05 * params[k]
      trace[k] = 0.9 * trace[k] + g
      params[k] = params[k] - rate * trace[k]
  for k in params:
    np.testing.assert_allclose(got[k], params[k], rtol=1e-5)


def test_adamw_first_updates():
  """By hand: rates 0.05, 0.1, 0.1; decay of the matrix, of the weight before.

  All gradients are clipped to (±3, 4), of which v is 9 and 16 from the first
  update on and m 3 and 4; where one changes sign its m is 0.213 / 0.271 / 3.
  """
  tx = optim.adamw(
    0.1, num_steps=9, warmup_steps=2, weight_decay=0.2, max_norm=5.0
  )
  params = {'bias': np.float32([2.0]), 'kernel': np.float32([[2.0]])}
  state, update = tx.init(params), jax.jit(tx.update)
  weights = []
  for bias, kernel in ((4.0, 3.0), (40.0, 30.0), (8.0, -6.0)):
    grads = {'bias': np.float32([bias]), 'kernel': np.float32([[kernel]])}
    updates, state = update(grads, state, params)
    params = jax.tree.map(np.add, params, updates)
    weights.append([float(leaf.sum()) for leaf in jax.tree.leaves(params)])
  expected = [
    [1.95, 2.0 - 0.05 * (1 + 0.2 * 2.0)],
    [1.85, 1.93 - 0.1 * (1 + 0.2 * 1.93)],
    [1.75, 1.7914 - 0.1 * (0.213 / 0.271 / 3 + 0.2 * 1.7914)],
  ]
  np.testing.assert_allclose(weights, expected, rtol=1e-5)


def test_vectors_are_not_decayed():
  params = {
    'conv': {'kernel': np.ones((3, 3, 1, 8)), 'bias': np.ones(8)},
    'prelu': {'slope': np.ones(8)},
    'head': np.ones((5, 4)),
    'gain': np.ones(()),
  }
  assert optim.decays(params) == {
    'conv': {'kernel': True, 'bias': False},
    'prelu': {'slope': False},
    'head': True,
    'gain': False,
  }


def adam_by_hand(grads, *, rate, b1, b2, eps):
  mean = square = value = 0.0
  values = []
  for t, gradient in enumerate(grads, 1):
    mean = b1 * mean + (1 - b1) * gradient
    square = b2 * square + (1 - b2) * gradient**2
    step = (mean / (1 - b1**t)) / (math.sqrt(square / (1 - b2**t)) + eps)
    value -= rate * step
    values.append(value)
  return values


def run(tx, grads):
  value = np.float32(0)
  opt_state, update = tx.init(value), jax.jit(tx.update)
  values = []
  for gradient in grads:
    updates, opt_state = update(np.float32(gradient), opt_state, value)
    value = value + np.asarray(updates)
    values.append(float(value))
  return values


GRADS = [0.3, -2.0, 1e-3, 0.5, 0.0]


def test_adam_that_is_hardly_lazy_is_adam_by_hand():
  tx = optim.lazy_adam(0.02, b1=0.25, b2=0.81, interval=1, eps=1e-4)
  np.testing.assert_allclose(
    run(tx, GRADS),
    adam_by_hand(GRADS, rate=0.01, b1=0.5, b2=0.9, eps=1e-4),
    rtol=1e-5,
  )


# StyleGAN2's discriminator and generator, computed apart from this code.
@pytest.mark.parametrize(
  'interval, rate, b2', [(16, 0.00188235, 0.99058546), (4, 0.0016, 0.99199197)]
)
def test_lazy_adam_has_the_published_constants(interval, rate, b2):
  np.testing.assert_allclose(
    run(optim.lazy_adam(0.002, b1=0.0, b2=0.99, interval=interval), GRADS),
    adam_by_hand(GRADS, rate=rate, b1=0.0, b2=b2, eps=1e-8),
    rtol=2e-5,
  )


@pytest.mark.parametrize('kind', ['sgd', 'adamw'])
@pytest.mark.parametrize(
  'name, value, message',
  [
    ('peak', 0.0, r'learning_rate=0\.0: give a number above 0'),
    ('peak', math.nan, 'learning_rate=nan: give a number above 0'),
    ('max_norm', 0, 'max_norm=0: give a number above 0'),
    ('weight_decay', -1e-4, r'weight_decay=-0\.0001: give 0 or more'),
  ],
)
def test_numbers_that_train_nothing_are_refused(kind, name, value, message):
  given = {
    'peak': 0.1,
    'num_steps': 9,
    'warmup_steps': 0,
    'weight_decay': 0.0,
    'max_norm': 1.0,
  }
  make = optim.adamw
  if kind == 'sgd':
    make = functools.partial(optim.sgd, momentum=0.9)
  make(**given)
  with pytest.raises(ValueError, match=message):
    make(**{**given, name: value})


def test_momentum_is_below_one():
  with pytest.raises(ValueError, match='momentum=1: give 0 or more and less'):
    optim.sgd(
      0.1,
      num_steps=9,
      warmup_steps=0,
      momentum=1,
      weight_decay=0,
      max_norm=1,
    )


def test_a_rate_that_falls_on_a_plateau_needs_numbers():
  with pytest.raises(ValueError, match='needs `plateau`'):
    optim.sgd(
      0.1,
      schedule='plateau',
      num_steps=10,
      warmup_steps=0,
      momentum=0.9,
      weight_decay=0.0,
      max_norm=1.0,
    )

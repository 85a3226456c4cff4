"""BatchNorm with activation against plain formulas and their autodiff."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from palmjax.models import backbones, batch_norm

SLOPES = {'none': 1.0, 'relu': 0.0, 'prelu': 0.3}


def draw(*shape, seed=0):
  rng = np.random.default_rng(seed)
  return rng.normal(size=shape).astype(np.float32)


def variables(activation):
  params = {'scale': draw(4, seed=1), 'shift': draw(4, seed=2)}
  if activation == 'prelu':
    params['slope'] = np.full(4, SLOPES['prelu'], np.float32)
  stats = {'mean': draw(4, seed=3), 'variance': draw(4, seed=4) ** 2}
  return {'params': params, 'batch_stats': stats}


def formula(params, x, mean, variance, activation):
  z = (x - mean) / jnp.sqrt(variance + 1e-5) * params['scale'] + params['shift']
  slope = params.get('slope', SLOPES[activation])
  return jnp.where(z >= 0, z, slope * z)


@pytest.mark.parametrize('activation', ['none', 'relu', 'prelu'])
def test_eval_mode(activation):
  x, given = draw(2, 3, 5, 4) + 0.5, variables(activation)
  layer = batch_norm.BatchNorm(train=False, activation=activation)
  stats = given['batch_stats']
  want = jax.jit(formula, static_argnums=4)(
    given['params'], x, stats['mean'], stats['variance'], activation
  )
  got = jax.jit(layer.apply)(given, x)
  np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('activation', ['none', 'relu', 'prelu'])
def test_train_mode_and_its_gradients(activation):
  x, given = draw(2, 3, 5, 4) + 0.5, variables(activation)
  layer = batch_norm.BatchNorm(train=True, activation=activation)

  def ours(params, x):
    return layer.apply({**given, 'params': params}, x, mutable=['batch_stats'])[
      0
    ]

  def plain(params, x):
    mean, variance = jnp.mean(x, axis=(0, 1, 2)), jnp.var(x, axis=(0, 1, 2))
    return formula(params, x, mean, variance, activation)

  def value_and_gradients(forward):
    def scalar(params, x):
      y = forward(params, x)
      return jnp.sum(jnp.sin(y)), y

    return jax.jit(jax.value_and_grad(scalar, argnums=(0, 1), has_aux=True))(
      given['params'], x
    )

  chex.assert_trees_all_close(
    value_and_gradients(ours), value_and_gradients(plain), rtol=1e-4, atol=1e-5
  )


def test_gradients_of_a_constant_channel_add_up_to_zero():
  """y is 0 but for rounding there: dx and its sums see one side of PReLU."""
  x = 3 * np.broadcast_to(draw(64, seed=5), (4, 8, 8, 64))
  layer = batch_norm.BatchNorm(train=True, activation='prelu')
  given = jax.jit(layer.init)(jax.random.key(0), x)

  @jax.jit
  def gradient(x, g):
    def y(x):
      return layer.apply(given, x, mutable=['batch_stats'])[0]

    return jax.vjp(y, x)[1](g)[0]

  got = np.asarray(gradient(x, draw(*x.shape, seed=6)))
  assert np.max(np.abs(got)) > 100  # γ / √ε is 316.
  np.testing.assert_allclose(got.sum((0, 1, 2)), 0, atol=0.1)


def test_running_statistics_move_towards_the_batch():
  x, given = draw(2, 3, 5, 4) + 0.5, variables('none')
  layer = batch_norm.BatchNorm(train=True)
  apply = functools.partial(layer.apply, mutable=['batch_stats'])
  _, moved = jax.jit(apply)(given, x)
  stats, moved = given['batch_stats'], moved['batch_stats']
  for name, batch in (
    ('mean', x.mean((0, 1, 2))),
    ('variance', x.var((0, 1, 2))),
  ):
    want = 0.9 * stats[name] + 0.1 * batch
    np.testing.assert_allclose(moved[name], want, rtol=1e-5)


def test_initial_scale():
  def init(scale):
    layer = batch_norm.BatchNorm(train=True, initial_scale=scale)
    init = jax.jit(layer.init_with_output)
    return jax.device_get(init(jax.random.key(0), draw(2, 3, 5, 4)))

  y, variables = init(None)
  assert set(variables['params']) == {'shift'}
  np.testing.assert_allclose(y, init(1.0)[0], rtol=1e-6)
  np.testing.assert_allclose(y.std((0, 1, 2)), np.ones(4), rtol=1e-4)
  y, variables = init(0.0)
  np.testing.assert_array_equal(variables['params']['scale'], np.zeros(4))
  np.testing.assert_array_equal(y, np.zeros((2, 3, 5, 4)))


class Forgetful(nn.Module):
  """Its running statistics are those of the last batch."""

  batch_norm_momentum: float = 0.0

  @nn.compact
  def __call__(self, x):
    return batch_norm.BatchNorm(train=True, activation='prelu')(x)


def test_statistics_have_derivatives():
  """A loss on mean and variance, against autodiff of their formulas."""
  x = draw(2, 3, 5, 4) + draw(2, 3, 5, 1) ** 2
  given = {
    name: {'BatchNorm_0': values} for name, values in variables('prelu').items()
  }

  def by_hand(x):
    _, moved = Forgetful().apply(given, x, mutable=['batch_stats'])
    stats = moved['batch_stats']['BatchNorm_0']
    mean, variance = stats['mean'], stats['variance']
    return jnp.sum(jnp.sin(mean) * jnp.arange(4)) + jnp.sum(jnp.cos(variance))

  def plain(x):
    mean, variance = jnp.mean(x, axis=(0, 1, 2)), jnp.var(x, axis=(0, 1, 2))
    return jnp.sum(jnp.sin(mean) * jnp.arange(4)) + jnp.sum(jnp.cos(variance))

  np.testing.assert_allclose(
    jax.jit(jax.grad(by_hand))(x),
    jax.jit(jax.grad(plain))(x),
    rtol=1e-4,
    atol=1e-5,
  )


def test_unknown_activation_is_refused():
  layer = batch_norm.BatchNorm(train=True, activation='gelu')
  with pytest.raises(ValueError, match="activation 'gelu': use 'none'"):
    layer.init(jax.random.key(0), draw(1, 2, 2, 3))


@pytest.mark.parametrize(
  'name',
  [
    'resnet18_small',
    *(
      pytest.param(name, marks=pytest.mark.slow)
      for name in ('mobilefacenet', 'iresnet18', 'vgg16_gdconv')
    ),
  ],
)
def test_a_networks_momentum_reaches_every_layer(name):
  """Each mean moves from 0 by 1 − momentum of the way to that of the batch."""
  images = draw(2, 32, 32, 1)
  sizes = {
    'embedding_size': 4,
    'width': 0.125,
    'dtype': jnp.float32,
    'attention': True,
  }
  given = {
    'default': {},
    'same': {'batch_norm_momentum': 0.9},
    'lower': {'batch_norm_momentum': 0.75},
  }
  models = {
    key: backbones.build(name, **sizes, **x) for key, x in given.items()
  }
  init = functools.partial(models['default'].init, train=False)
  variables = jax.jit(init)(jax.random.key(1), images)

  # One program: what the three have in common is compiled once.
  @jax.jit
  def statistics(variables):
    return {
      key: model.apply(variables, images, train=True, mutable=['batch_stats'])
      for key, model in models.items()
    }

  moved = {}
  for key, (_, new) in jax.device_get(statistics(variables)).items():
    flat = jax.tree_util.tree_leaves_with_path(new['batch_stats'])
    moved[key] = {
      jax.tree_util.keystr(path): leaf
      for path, leaf in flat
      if 'mean' in jax.tree_util.keystr(path)
    }
  assert moved['default']
  for path, mean in moved['lower'].items():
    np.testing.assert_array_equal(moved['default'][path], moved['same'][path])
    np.testing.assert_allclose(0.4 * mean, moved['same'][path], rtol=1e-4)


@pytest.mark.parametrize('value', [1.0, -0.1, float('nan')])
def test_a_momentum_that_learns_nothing_is_refused(value):
  with pytest.raises(ValueError, match='give 0 or more and less than 1'):
    backbones.build(
      'vgg16',
      embedding_size=4,
      width=1,
      dtype=jnp.float32,
      attention=False,
      batch_norm_momentum=value,
    )


def test_exports_without_a_momentum_had_the_default():
  assert batch_norm.momentum_of({}) == 0.9
  assert batch_norm.momentum_of({'batch_norm_momentum': 0.5}) == 0.5

"""Layers, blocks and trained ResNets against NumPy twins."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from palmjax.models import layers, resnet


def draw(*shape, seed=0):
  rng = np.random.default_rng(seed)
  return rng.normal(size=shape).astype(np.float32)


def initial(module, x, **arguments):
  """Variables of a fresh module; its kernels are drawn by NumPy.

  They would be most of the time to compile, and their draw does not matter.
  """
  init = functools.partial(module.init, **arguments)
  variables = jax.eval_shape(init, jax.random.key(0), x)
  leaves, tree = jax.tree_util.tree_flatten_with_path(variables)

  def others(key):
    return [
      None if path[-1].key == 'kernel' else leaf
      for (path, _), leaf in zip(
        leaves, jax.tree.leaves(init(key, x)), strict=True
      )
    ]

  filled = [
    0.3 * draw(*leaf.shape, seed=seed) if value is None else value
    for seed, ((_, leaf), value) in enumerate(
      zip(
        leaves,
        jax.device_get(jax.jit(others)(jax.random.key(0))),
        strict=True,
      )
    )
  ]
  return jax.tree.unflatten(tree, filled)


def rescaled(variables, change):
  """With `change` added to the scale of every BatchNorm."""
  params = jax.tree_util.tree_map_with_path(
    lambda path, leaf: leaf + change if path[-1].key == 'scale' else leaf,
    variables['params'],
  )
  return {**variables, 'params': params}


def convolved(x, kernel, stride, groups):
  """In NumPy: channel o of group j sees the channels of group j only."""
  window, _, fan_in, features = kernel.shape
  full = np.zeros((window, window, fan_in * groups, features))
  for o in range(features):
    first = o // (features // groups) * fan_in
    full[:, :, first : first + fan_in, o] = kernel[..., o]
  border = (window // 2, window // 2)
  padded = np.pad(x, [(0, 0), border, border, (0, 0)])
  windows = np.lib.stride_tricks.sliding_window_view(
    padded, (window, window), axis=(1, 2)
  )[:, ::stride, ::stride]
  return np.einsum('bhwcij,ijco->bhwo', windows, full)


@pytest.mark.parametrize(
  'window, groups, channels, features, stride',
  [
    (1, 1, 4, 6, 1),
    (1, 1, 4, 6, 2),
    (3, 1, 4, 6, 2),
    (3, 2, 4, 6, 1),
    (3, 4, 4, 8, 2),
    (3, 4, 4, 4, 2),
    (7, 1, 1, 4, 2),
  ],
)
def test_layer_against_numpy(window, groups, channels, features, stride):
  x = draw(2, 7, 6, channels)
  layer = layers.ConvLayer(
    features, window, False, 'none', stride=stride, groups=groups
  )
  variables = initial(layer, x)
  got = jax.jit(layer.apply)(variables, x)
  want = convolved(x, variables['params']['kernel'], stride, groups)
  np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)


BLOCKS = {
  'basic': resnet.BasicBlock(8, 1, train=True),
  'bottleneck': resnet.BottleneckBlock(8, 4, 8, 1, train=True),
  'separable': resnet.SeparableBlock(8, 1, train=True),
  'iresnet': resnet.IResNetBlock(8, 1, train=True),
}


@pytest.mark.parametrize('name', sorted(BLOCKS))
def test_fresh_block_is_the_identity(name):
  """What IResNet adds is not rectified; maps of the others never go below 0."""
  x = draw(2, 4, 4, 8)
  x = x if name == 'iresnet' else np.abs(x)
  variables = initial(BLOCKS[name], x)
  apply = jax.jit(
    lambda v: BLOCKS[name].apply(v, x, mutable=['batch_stats'])[0]
  )
  np.testing.assert_array_equal(apply(variables), x)
  assert np.abs(apply(rescaled(variables, 1.0)) - x).mean() > 0.1


def layer_twin(params, x, stride=1, groups=1, slope=1.0):
  """ConvLayer with fresh statistics: mean 0, variance 1."""
  y = convolved(x, params['kernel'], stride, groups) / np.sqrt(1 + 1e-5)
  y = y * params['scale'] + params['shift']
  return np.where(y >= 0, y, slope * y)


def basic_twin(params, x):
  y = layer_twin(params['ConvLayer_0'], x, stride=2, slope=0)
  y = layer_twin(params['ConvLayer_1'], y)
  return np.maximum(layer_twin(params['ConvLayer_2'], x, stride=2) + y, 0)


def bottleneck_twin(params, x):
  y = layer_twin(params['ConvLayer_0'], x, slope=0)
  y = layer_twin(params['ConvLayer_1'], y, stride=2, groups=4, slope=0)
  y = layer_twin(params['ConvLayer_2'], y)
  return np.maximum(layer_twin(params['ConvLayer_3'], x, stride=2) + y, 0)


def separable_twin(params, x):
  y = layer_twin(params['ConvLayer_0'], x, stride=2, groups=8, slope=0)
  y = layer_twin(params['ConvLayer_1'], y, slope=0)
  y = layer_twin(params['ConvLayer_2'], y, groups=12, slope=0)
  y = layer_twin(params['ConvLayer_3'], y)
  return np.maximum(layer_twin(params['ConvLayer_4'], x, stride=2) + y, 0)


def iresnet_twin(params, x):
  first = params['BatchNorm_0']
  y = x / np.sqrt(1 + 1e-5) * first['scale'] + first['shift']
  slope = params['ConvLayer_0']['slope']
  y = layer_twin(params['ConvLayer_0'], y, slope=slope)
  y = layer_twin(params['ConvLayer_1'], y, stride=2)
  return layer_twin(params['ConvLayer_2'], x, stride=2) + y


@pytest.mark.parametrize(
  'block, twin',
  [
    (resnet.BasicBlock(12, 2, train=False), basic_twin),
    (resnet.BottleneckBlock(16, 4, 12, 2, train=False), bottleneck_twin),
    (resnet.SeparableBlock(12, 2, train=False), separable_twin),
    (resnet.IResNetBlock(12, 2, train=False), iresnet_twin),
  ],
)
def test_block_that_halves_the_map(block, twin):
  x = draw(2, 5, 4, 8)
  variables = initial(block, x)
  params = jax.tree_util.tree_map_with_path(
    lambda path, leaf: (
      leaf if path[-1].key == 'kernel' else leaf + draw(*leaf.shape, seed=7)
    ),
    variables['params'],
  )
  got = jax.jit(block.apply)({**variables, 'params': params}, x)
  assert got.shape == (2, 3, 2, 12)
  want = twin(jax.tree.map(np.asarray, params), np.asarray(x))
  np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)


NETWORKS = {
  'resnet': resnet.ResNet(
    'separable',
    (1, 1, 0, 0),
    embedding_size=6,
    stem='small',
    attention=True,
    width=0.01,
  ),
  'iresnet': resnet.IResNet((1, 1, 0, 0), embedding_size=6, width=0.01),
}


@pytest.fixture(scope='module', params=sorted(NETWORKS))
def trained(request):
  """A network of two stages whose blocks add something; a training pass."""
  model = NETWORKS[request.param]
  images = draw(4, 16, 16, 1)
  variables = rescaled(initial(model, images, train=False), 0.5)

  # At level 0 XLA 0.10.2 compiles the ResNet's gradients to NaN.
  @functools.partial(
    jax.jit, compiler_options={'xla_backend_optimization_level': '1'}
  )
  def step(params):
    def loss(params):
      embeddings, moved = model.apply(
        {**variables, 'params': params},
        images,
        train=True,
        mutable=['batch_stats'],
      )
      return jnp.sum(jnp.sin(embeddings + jnp.arange(6))), (embeddings, moved)

    return jax.grad(loss, has_aux=True)(params)

  gradients, (embeddings, moved) = jax.device_get(step(variables['params']))
  return model, images, variables, gradients, embeddings, moved


def test_training_pass(trained):
  model, _, variables, gradients, embeddings, moved = trained
  iresnet = isinstance(model, resnet.IResNet)
  chex.assert_shape(embeddings, (4, 6))
  assert embeddings.dtype == np.float32
  for path, leaf in jax.tree_util.tree_leaves_with_path(gradients):
    assert np.all(np.isfinite(leaf)), path
    # IResNet adds maps without activation: the next BatchNorm takes out shifts.
    if not iresnet or path[-1].key not in ('shift', 'bias'):
      assert np.abs(leaf).max() > 1e-6, path
  for (path, before), after in zip(
    jax.tree_util.tree_leaves_with_path(variables['batch_stats']),
    jax.tree.leaves(moved['batch_stats']),
    strict=True,
  ):
    # The mean of a sum of normalised maps stays zero.
    if path[-1].key == 'variance':
      assert np.abs(after - before).max() > 1e-4, path


def test_iresnet_embeddings_are_normalised_over_the_batch(trained):
  model, _, _, _, embeddings, _ = trained
  if isinstance(model, resnet.IResNet):
    np.testing.assert_allclose(embeddings.mean(0), np.zeros(6), atol=1e-5)
    np.testing.assert_allclose(embeddings.std(0), np.ones(6), rtol=1e-2)


def test_an_image_alone_gets_its_embedding_of_the_batch(trained):
  model, images, variables, _, _, _ = trained
  embed = jax.jit(lambda x: model.apply(variables, x, train=False))
  together, alone = jax.device_get((embed(images), embed(images[:1])))
  assert np.abs(together[0] - together[1]).max() > 1e-3
  np.testing.assert_allclose(alone[0], together[0], rtol=1e-4, atol=1e-5)

"""Residual networks: published sizes, formulas, and what a block computes."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from palmjax.models import layers, resnet


def shapes(model, size, channels=3):
  """Abstract parameters: no memory, nothing compiled."""
  images = jax.ShapeDtypeStruct((1, size, size, channels), jnp.float32)
  init = functools.partial(model.init, train=False)
  return jax.eval_shape(init, jax.random.key(0), images)['params']


def count(params):
  return sum(leaf.size for leaf in jax.tree.leaves(params))


@pytest.mark.parametrize(
  'block, depth, groups, group_features, want',
  [
    ('basic', resnet.DEPTH_18, 1, 64, 11_689_512),
    ('bottleneck', resnet.DEPTH_50, 1, 64, 25_557_032),
    ('bottleneck', resnet.DEPTH_50, 32, 4, 25_028_904),
  ],
)
def test_parameter_count_of_the_papers(
  block, depth, groups, group_features, want
):
  model = resnet.ResNet(
    block,
    depth,
    embedding_size=1000,
    groups=groups,
    group_features=group_features,
  )
  assert count(shapes(model, 224)) == want


def test_parameter_count_of_iresnet():
  """The published count has the last BatchNorm's scale, fixed at one."""
  model = resnet.IResNet(resnet.DEPTH_18)
  assert count(shapes(model, 112)) == 24_025_600 - 512


def iresnet_formula(depth, size, embedding_size):
  """Kernels, BatchNorms (2 a channel), slopes, dense layer."""
  total, before = 9 * 3 * 64 + 3 * 64, 64
  for features, blocks in zip((64, 128, 256, 512), depth, strict=True):
    for index in range(blocks):
      total += 2 * before + 9 * before * features + 3 * features
      total += 9 * features * features + 2 * features
      if index == 0:
        total += before * features + 2 * features
      before = features
  cells = (size // 16) ** 2
  return total + 2 * 512 + (cells * 512 + 1) * embedding_size + embedding_size


def test_parameter_count_of_iresnet_follows_the_formula():
  assert iresnet_formula((2, 2, 2, 2), 112, 512) == 24_025_600 - 512
  model = resnet.IResNet(resnet.IRESNET_DEPTH_50, embedding_size=128)
  assert count(shapes(model, 64)) == iresnet_formula((3, 4, 14, 3), 64, 128)


def kernels(block, channels):
  """Weights of a block's convolutions, without BatchNorm."""
  x = jax.ShapeDtypeStruct((1, 8, 8, channels), jnp.float32)
  params = jax.eval_shape(block.init, jax.random.key(0), x)['params']
  return sum(
    leaf.size
    for path, leaf in jax.tree_util.tree_leaves_with_path(params)
    if path[-1].key == 'kernel'
  )


@pytest.mark.parametrize('groups', [1, 2, 16, 64])
def test_groups_divide_the_weights(groups):
  """h · w · c₁ · c₂ / g; the two 1×1 are as they were."""
  block = resnet.BottleneckBlock(64, groups, 256, 1, train=False)
  assert kernels(block, 256) == 2 * 256 * 64 + 9 * 64 * 64 // groups


@pytest.mark.parametrize('features', [16, 64, 256])
def test_separable_share(features):
  """1 / N + 1 / k² of the weights of the same block with full 3×3."""
  full = kernels(resnet.BasicBlock(features, 1, train=False), features)
  light = kernels(resnet.SeparableBlock(features, 1, train=False), features)
  assert full == 2 * 9 * features**2
  np.testing.assert_allclose(light / full, 1 / features + 1 / 9, rtol=1e-12)


@pytest.mark.parametrize(
  'stem, size, last, kernel',
  [
    ('pool', 112, 4, (7, 7, 1, 64)),
    ('stride', 112, 4, (7, 7, 1, 64)),
    ('small', 32, 4, (3, 3, 1, 64)),
    ('small', 8, 1, (3, 3, 1, 64)),
  ],
)
def test_stems(stem, size, last, kernel):
  """The last map, as the large-kernel tail sees it."""
  model = resnet.ResNet('basic', (1, 1, 1, 1), stem=stem, tail='gdconv')
  params = shapes(model, size, channels=1)
  assert params['ConvLayer_0']['kernel'].shape == kernel
  assert params['Tail_0']['kernel'].shape == (last, last, 1, 512)
  # The first block of a stage that halves the map has a 1×1 shortcut.
  assert ('ConvLayer_2' in params['BasicBlock_0']) == (stem == 'stride')


def test_width_keeps_groups_whole():
  model = resnet.ResNet(
    'bottleneck', (1, 1, 1, 1), groups=32, group_features=4, width=0.3
  )
  params = shapes(model, 32)
  inner = [
    params[f'BottleneckBlock_{i}']['ConvLayer_1']['kernel'].shape
    for i in range(4)
  ]
  assert inner == [(3, 3, n // 32, n) for n in (32, 64, 160, 320)]


@pytest.mark.parametrize(
  'form, size, message',
  [
    ({'stem': 'pool'}, 31, 'ResNet needs images of at least 32×32, got 31×31'),
    ({'stem': 'small'}, 7, 'ResNet needs images of at least 8×8, got 7×7'),
    ({'stem': 'tiny'}, 32, "stem 'tiny': use 'pool', 'stride' or 'small'"),
    ({'block': 'dense'}, 32, "block 'dense': use 'basic', 'bottleneck'"),
  ],
)
def test_mistakes_are_refused(form, size, message):
  model = resnet.ResNet(**{'block': 'basic', 'depth': (1, 1, 1, 1), **form})
  with pytest.raises(ValueError, match=message):
    shapes(model, size)


def draw(*shape, seed=0):
  rng = np.random.default_rng(seed)
  return jnp.asarray(rng.normal(size=shape), jnp.float32)


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

  found = [
    0.3 * draw(*leaf.shape, seed=seed) if value is None else value
    for seed, ((_, leaf), value) in enumerate(
      zip(leaves, jax.jit(others)(jax.random.key(0)), strict=True)
    )
  ]
  return jax.tree.unflatten(tree, found)


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
  x = x if name == 'iresnet' else jnp.abs(x)
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

  gradients, (embeddings, moved) = step(variables['params'])
  return model, images, variables, gradients, embeddings, moved


def test_training_pass(trained):
  model, _, variables, gradients, embeddings, moved = trained
  iresnet = isinstance(model, resnet.IResNet)
  chex.assert_shape(embeddings, (4, 6))
  assert embeddings.dtype == jnp.float32
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
  together, alone = embed(images), embed(images[:1])
  assert np.abs(together[0] - together[1]).max() > 1e-3
  np.testing.assert_allclose(alone[0], together[0], rtol=1e-4, atol=1e-5)

"""Residual networks: published sizes, formulas, and what a block computes."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from palmjax.models import resnet


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

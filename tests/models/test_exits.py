"""Exits of the backbones: names, shapes, what an early exit leaves out."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from palmjax.models import batch_norm, exits, resnet, vgg
from palmjax.networks import palm, shipped
from tests import filled_variables

SHAPE = (32, 32, 1)
SIZES = {'embedding_size': 4, 'width': 0.125}
RESNET = functools.partial(resnet.ResNet, 'basic', stem='small', **SIZES)
# (backbone, sides of the maps at its exits but the last).
BACKBONES = {
  'resnet': (RESNET((1, 1, 1)), (32, 16)),
  'iresnet': (resnet.IResNet((1, 1), **SIZES), (16,)),
  'vgg': (vgg.VGG16(tail='pool', **SIZES), (16, 8, 4, 2)),
}


def shapes_of(model, shape=SHAPE):
  """Abstract variables."""
  images = jnp.zeros((1, *shape))
  return jax.eval_shape(
    lambda key: model.init(key, images, train=False), jax.random.key(0)
  )


def leaves(tree):
  return {
    jax.tree_util.keystr(path): leaf.shape
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
  }


@pytest.mark.parametrize('name', BACKBONES)
def test_exits_of_a_backbone(name):
  backbone, sides = BACKBONES[name]
  # A window as large as the map shows its size.
  model = exits.ExitNetwork(backbone, cells=99)
  images = jnp.zeros((3, *SHAPE))
  embeddings, variables = jax.eval_shape(
    lambda key: model.init_with_output(key, images, train=False),
    jax.random.key(0),
  )
  assert model.num_exits == len(sides) + 1
  assert embeddings.shape == (model.num_exits, 3, 4)
  # A backbone without exits has the very same parameters.
  assert leaves(exits.plain(variables)) == leaves(shapes_of(backbone))
  assert windows(variables) == list(sides)


def windows(variables):
  """Sides of the maps at the exits, where the grid is as fine as a map."""
  params = dict(variables['params'])
  del params['network']
  return [x['Tail_0']['kernel'].shape[0] for x in params.values()]


def test_shipped_weights_fit_below_exits():
  network = palm.load(shipped.PALM)
  model = exits.ExitNetwork(network.model, cells=99)
  variables = shapes_of(model, network.preprocess.shape)
  side = network.preprocess.image_size
  assert windows(variables) == [side // 4, side // 8]
  trained = {'params': network.params['backbone'], **network.stats}
  got = exits.replace_plain(variables, trained)
  chex.assert_trees_all_equal(exits.plain(got), trained)
  assert got['params']['exit1'] is variables['params']['exit1']


@pytest.fixture(scope='module')
def small():
  """A network of two stages, its variables, an image, all embeddings."""
  model = exits.ExitNetwork(RESNET((1, 1)), cells=3)
  variables = filled_variables.fill(shapes_of(model))
  images = np.random.default_rng(1).normal(size=(2, *SHAPE)).astype(np.float32)
  embed = jax.jit(functools.partial(model.apply, train=False))
  return model, variables, images, embed(variables, images)


@pytest.mark.parametrize('until', [1, 2])
def test_an_early_exit_reads_and_computes_no_more(small, until):
  model, variables, images, embeddings = small
  one, read = exits.select(model, variables, until, input_shape=SHAPE)
  embed = jax.jit(functools.partial(one.apply, train=False))
  np.testing.assert_allclose(
    embed(read, images), embeddings[until - 1], rtol=1e-5, atol=1e-5
  )
  # Later blocks and the other adaptors are not there.
  network = set(read['params']['network'])
  assert ('BasicBlock_1' in network) == ('Dense_0' in network) == (until == 2)
  assert ('exit1' in read['params']) == (until == 1)
  costs = [
    jax.jit(functools.partial(x.apply, train=False))
    .lower(variables, images)
    .cost_analysis()['flops']
    for x in (one, model)
  ]
  assert costs[0] < (0.7 if until == 1 else 1.0) * costs[1]


def test_last_exit_is_the_backbone_itself(small):
  model, variables, images, embeddings = small
  plain = jax.jit(functools.partial(model.network.apply, train=False))
  np.testing.assert_array_equal(
    plain(exits.plain(variables), images), embeddings[-1]
  )


def test_adaptor_equals_numpy(small):
  model, variables, images, embeddings = small
  first, _ = model.network.apply(
    exits.plain(variables), images, train=False, exits=2
  )
  params = variables['params']['exit1']
  # 32 rows in 3 cells: neighbours share a row.
  rows = (slice(0, 11), slice(10, 22), slice(21, 32))
  first = np.asarray(first, np.float64)
  cells = np.stack(
    [[first[:, r, c].mean(axis=(1, 2)) for c in rows] for r in rows]
  )
  tail = params['Tail_0']
  x = np.einsum('ghbc,ghc->bc', cells, tail['kernel'][:, :, 0])
  stats = variables['batch_stats']['exit1']['Tail_0']
  x = (x - stats['mean']) / np.sqrt(stats['variance'] + batch_norm.EPSILON)
  x = x * tail['scale'] + tail['shift']
  want = x @ params['Dense_0']['kernel'] + params['Dense_0']['bias']
  np.testing.assert_allclose(embeddings[0], want, rtol=1e-4, atol=1e-5)


def test_momentum_of_the_backbone_is_that_of_the_adaptors():
  backbone = resnet.IResNet((1, 1), batch_norm_momentum=0.25, **SIZES)
  assert exits.ExitNetwork(backbone).batch_norm_momentum == 0.25


def test_heads_of_exits_differ():
  heads = exits.init_heads(
    jax.random.key(0), 3, exits.ExitNetwork(RESNET((1, 1)))
  )
  assert heads.shape == (2, 3, 4)
  assert np.abs(heads[0] - heads[1]).max() > 0.1


def test_exits_that_are_not_there_are_refused(small):
  model, variables, images, _ = small
  for until in (0, 3):
    with pytest.raises(ValueError, match=f'exit {until}: .* exits 1 to 2'):
      model.clone(until=until).apply(variables, images, train=False)


def test_weights_of_another_backbone_are_refused(small):
  _, variables, _, _ = small
  wider = shapes_of(RESNET((1, 1), embedding_size=6))
  with pytest.raises(ValueError, match=r'Dense_0.* is \(6,\) .* \(4,\) here'):
    exits.replace_plain(variables, wider)
  deeper = shapes_of(RESNET((1, 2)))
  with pytest.raises(ValueError, match=r'BasicBlock_2.* and missing here'):
    exits.replace_plain(variables, deeper)

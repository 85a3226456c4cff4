"""MobileFaceNet: the paper's sizes, and its layers against flax's."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from palmjax.models import batch_norm, layers, mobilefacenet


@functools.cache
def shapes(size, channels=3, batch=2, **sizes):
  """Abstract variables and output: nothing is compiled."""
  model = mobilefacenet.MobileFaceNet(**sizes)
  images = np.zeros((batch, size, size, channels), np.float32)
  output, variables = jax.eval_shape(
    lambda key: model.init_with_output(key, images, train=False),
    jax.random.key(0),
  )
  return variables, output


def count(variables):
  return sum(leaf.size for leaf in jax.tree.leaves(variables['params']))


@pytest.mark.parametrize(
  'embedding_size, want', [(128, 1_003_136), (512, 1_200_512)]
)
def test_parameter_count_of_the_paper(embedding_size, want):
  variables, output = shapes(112, embedding_size=embedding_size)
  assert count(variables) == want
  chex.assert_shape(output, (2, embedding_size))
  assert output.dtype == jnp.float32


def test_layers_of_the_paper():
  variables, _ = shapes(112, embedding_size=128)
  kernels = [
    leaf.shape
    for path, leaf in jax.tree_util.tree_leaves_with_path(variables['params'])
    if path[-1].key == 'kernel'
  ]
  # Stem, first depthwise, 15 bottlenecks of three, three at the end.
  assert len(kernels) == 2 + 15 * 3 + 3
  assert kernels.count((7, 7, 1, 512)) == 1
  assert kernels.count((3, 3, 1, 128)) == 5
  assert kernels.count((3, 3, 1, 256)) == 1 + 6 + 2
  assert kernels.count((3, 3, 1, 512)) == 1
  slopes = sum(
    path[-1].key == 'slope'
    for path, _ in jax.tree_util.tree_leaves_with_path(variables['params'])
  )
  assert slopes == 2 + 15 * 2 + 1


@pytest.mark.parametrize(
  'size, channels, last', [(32, 1, 2), (48, 1, 3), (50, 3, 4), (64, 3, 4)]
)
def test_other_image_sizes(size, channels, last):
  variables, output = shapes(size, channels, width=0.5)
  chex.assert_shape(output, (2, 128))
  params = variables['params']
  chex.assert_shape(params['ConvLayer_0']['kernel'], (3, 3, channels, 32))
  chex.assert_shape(params['ConvLayer_3']['kernel'], (last, last, 1, 256))


def test_compute_type_leaves_parameters_and_output_float32():
  variables, output = shapes(32, width=0.25, dtype=jnp.bfloat16)
  chex.assert_trees_all_equal_dtypes(
    jax.tree.leaves(variables),
    [np.float32(0)] * len(jax.tree.leaves(variables)),
  )
  assert output.dtype == jnp.float32


def test_small_images_are_refused():
  with pytest.raises(ValueError, match='at least 32×32, got 31×31'):
    shapes(31)


class Reference(nn.Module):
  """One pointwise layer with flax's own BatchNorm."""

  train: bool

  @nn.compact
  def __call__(self, x):
    kernel = self.param('kernel', nn.initializers.ones, (1, 1, 3, 4))
    x = jnp.einsum('bhwc,cd->bhwd', x, kernel[0, 0])
    x = nn.BatchNorm(
      use_running_average=not self.train,
      momentum=batch_norm.MOMENTUM,
      epsilon=batch_norm.EPSILON,
    )(x)
    slope = self.param('slope', nn.initializers.ones, (4,))
    return jnp.where(x >= 0, x, slope * x)


def layer_variables():
  """The same numbers for our layer and for the reference."""
  rng = np.random.default_rng(0)

  def draw(*shape):
    return rng.normal(size=shape).astype(np.float32)

  kernel, scale, shift, slope = draw(1, 1, 3, 4), draw(4), draw(4), draw(4)
  mean, variance = draw(4), draw(4) ** 2
  ours = {
    'params': {
      'kernel': kernel,
      'scale': scale,
      'shift': shift,
      'slope': slope,
    },
    'batch_stats': {'mean': mean, 'variance': variance},
  }
  theirs = {
    'params': {
      'kernel': kernel,
      'slope': slope,
      'BatchNorm_0': {'scale': scale, 'bias': shift},
    },
    'batch_stats': {'BatchNorm_0': {'mean': mean, 'var': variance}},
  }
  return draw(2, 3, 5, 3) + np.float32(0.5), ours, theirs


def make_layer(train, linear=False):
  return layers.ConvLayer(4, 1, train, 'none' if linear else 'prelu')


def flatten_like_ours(params):
  batch_norm = params['BatchNorm_0']
  return {
    'kernel': params['kernel'],
    'scale': batch_norm['scale'],
    'shift': batch_norm['bias'],
    'slope': params['slope'],
  }


def test_layer_equals_flax_in_eval_mode():
  x, ours, theirs = layer_variables()
  np.testing.assert_allclose(
    jax.jit(make_layer(train=False).apply)(ours, x),
    jax.jit(Reference(train=False).apply)(theirs, x),
    atol=1e-5,
  )


def test_layer_equals_flax_in_train_mode_up_to_second_derivatives():
  x, ours, theirs = layer_variables()

  def everything(layer, variables):
    def forward(params, x):
      return layer.apply(
        {**variables, 'params': params}, x, mutable=['batch_stats']
      )

    def scalar(params, x):
      return jnp.sum(jnp.sin(forward(params, x)[0]))

    def squared_length(params, x):
      return jnp.sum(jax.grad(scalar, argnums=1)(params, x) ** 2)

    @jax.jit
    def compute(params, x):
      return (
        *forward(params, x),
        jax.grad(scalar, argnums=(0, 1))(params, x),
        jax.grad(squared_length, argnums=(0, 1))(params, x),
      )

    return compute(variables['params'], x)

  got_y, got_stats, got_first, got_second = everything(make_layer(True), ours)
  y, stats, first, second = everything(Reference(True), theirs)
  np.testing.assert_allclose(got_y, y, atol=1e-5)
  stats = stats['batch_stats']['BatchNorm_0']
  got_stats = got_stats['batch_stats']
  np.testing.assert_allclose(got_stats['mean'], stats['mean'], rtol=1e-5)
  np.testing.assert_allclose(got_stats['variance'], stats['var'], rtol=1e-5)
  for got, want in ((got_first, first), (got_second, second)):
    want = (flatten_like_ours(want[0]), want[1])
    chex.assert_trees_all_close(got, want, rtol=1e-3, atol=1e-4)


def test_linear_layer_is_batch_norm_alone():
  x, ours, _ = layer_variables()
  params = {k: v for k, v in ours['params'].items() if k != 'slope'}
  layer = make_layer(train=True, linear=True)

  def forward(params, x):
    variables = {**ours, 'params': params}
    return layer.apply(variables, x, mutable=['batch_stats'])[0]

  def reference(params, x):
    x = jnp.einsum('bhwc,cd->bhwd', x, params['kernel'][0, 0])
    mean, variance = jnp.mean(x, axis=(0, 1, 2)), jnp.var(x, axis=(0, 1, 2))
    x = (x - mean) / jnp.sqrt(variance + 1e-5)
    return x * params['scale'] + params['shift']

  def everything(function):
    def scalar(params, x):
      y = function(params, x)
      return jnp.sum(jnp.sin(y)), y

    return jax.jit(jax.grad(scalar, argnums=(0, 1), has_aux=True))(params, x)

  (got, y), (want, y_of_reference) = map(everything, (forward, reference))
  np.testing.assert_allclose(y, y_of_reference, atol=1e-5)
  chex.assert_trees_all_close(got, want, rtol=1e-3, atol=1e-4)


def test_bottleneck_adds_its_input_only_where_shapes_allow():
  x = np.random.default_rng(0).normal(size=(2, 4, 4, 8)).astype(np.float32)
  for features, stride, adds in ((8, 1, True), (8, 2, False), (16, 1, False)):
    block = mobilefacenet.InvertedResidual(2, features, stride, train=False)
    variables = jax.jit(block.init)(jax.random.key(0), x)
    params = dict(variables['params'])
    # A projection of zero leaves the identity path.
    params['ConvLayer_2'] = jax.tree.map(np.zeros_like, params['ConvLayer_2'])
    y = jax.jit(block.apply)({**variables, 'params': params}, x)
    want = x if adds else np.zeros((2, 4 // stride, 4 // stride, features))
    np.testing.assert_array_equal(y, want)

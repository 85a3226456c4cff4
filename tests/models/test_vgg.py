"""VGG16: the paper's sizes, and its values against a NumPy twin."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from palmjax.models import vgg


def shapes(size, channels=3, **form):
  """Abstract parameters: no memory, nothing compiled."""
  model = vgg.VGG16(**form)
  images = jax.ShapeDtypeStruct((1, *size, channels), jnp.float32)
  init = functools.partial(model.init, train=False)
  return jax.eval_shape(init, jax.random.key(0), images)['params']


def count(params):
  return sum(leaf.size for leaf in jax.tree.leaves(params))


def test_parameter_count_of_the_paper():
  params = shapes((224, 224), embedding_size=1000)
  assert count(params) == 138_357_544
  assert params['Dense_0']['kernel'].shape == (7 * 7 * 512, 4096)


CONVOLUTIONS = sum(
  9 * before * after + after
  for before, after in [
    *[(3, 64), (64, 64), (64, 128), (128, 128), (128, 256)],
    *[(256, 256)] * 2,
    (256, 512),
    *[(512, 512)] * 5,
  ]
)


def dense(inputs, outputs):
  return inputs * outputs + outputs


@pytest.mark.parametrize('strided', [False, True])
@pytest.mark.parametrize(
  'tail, behind',
  [
    ('fc', dense(4 * 512, 4096) + dense(4096, 4096) + dense(4096, 128)),
    ('pool', dense(512, 128)),
    ('gdconv', 4 * 512 + 2 * 512 + dense(512, 128)),
  ],
)
def test_parameter_count_of_small_palms(strided, tail, behind):
  """At 64 px the last map is 2×2; strides instead of pooling are free."""
  params = shapes((64, 64), embedding_size=128, strided=strided, tail=tail)
  assert count(params) == CONVOLUTIONS + behind


def test_small_images_are_refused():
  with pytest.raises(ValueError, match='at least 32×32, got 31×40'):
    shapes((31, 40))


@pytest.fixture(scope='module')
def narrow():
  """The narrowest network and two images."""
  model = vgg.VGG16(embedding_size=5, width=0.01)
  rng = np.random.default_rng(0)
  images = rng.normal(size=(2, 32, 33, 1)).astype(np.float32)
  params = jax.tree.map(
    lambda leaf: rng.normal(0, 0.2, leaf.shape).astype(np.float32),
    shapes((32, 33), 1, embedding_size=5, width=0.01),
  )
  return model, {'params': params}, images


def test_values(narrow):
  model, variables, images = narrow
  params, x = variables['params'], images
  layer = 0
  for depth in (2, 2, 3, 3, 3):
    for _ in range(depth):
      weights = params[f'ConvLayer_{layer}']
      layer += 1
      padded = np.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)])
      windows = np.lib.stride_tricks.sliding_window_view(
        padded, (3, 3), axis=(1, 2)
      )
      x = np.einsum('bhwcij,ijco->bhwo', windows, weights['kernel'])
      x = np.maximum(x + weights['bias'], 0)
    height, width = x.shape[1] // 2, x.shape[2] // 2
    x = x[:, : 2 * height, : 2 * width]
    x = x.reshape(2, height, 2, width, 2, -1).max((2, 4))
  assert x.shape == (2, 1, 1, 8)
  x = x.reshape(2, -1)
  for index in range(3):
    weights = params[f'Dense_{index}']
    x = x @ weights['kernel'] + weights['bias']
    x = x if index == 2 else np.maximum(x, 0)
  got = jax.jit(lambda v: model.apply(v, images, train=False))(variables)
  np.testing.assert_allclose(got, x, rtol=1e-4, atol=1e-5)


def test_dropout_in_train_mode(narrow):
  """The random stream decides what goes."""
  model, variables, images = narrow

  @jax.jit
  def train(key):
    return model.apply(
      variables,
      images,
      train=True,
      mutable=['batch_stats'],
      rngs={'dropout': key},
    )[0]

  first = train(jax.random.key(1))
  np.testing.assert_array_equal(first, train(jax.random.key(1)))
  assert np.abs(first - train(jax.random.key(2))).max() > 1e-3

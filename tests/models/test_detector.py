"""The detector: shapes, sizes, and what a larger image changes."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from palmjax.models import detector

# Compiled faster; runs are short.
quick_jit = functools.partial(
  jax.jit, compiler_options={'xla_backend_optimization_level': '0'}
)


def shapes(size, **options):
  """Abstract variables, maps and levels: nothing is compiled."""
  model = detector.Detector(10, **options)
  images = jnp.zeros((2, *size, 3))

  def init(key):
    outputs, variables = model.init_with_output(key, images, train=False)
    return variables, outputs

  variables, (maps, levels) = jax.eval_shape(init, jax.random.key(0))
  return variables, maps, levels


def sides(levels):
  return [level.shape[1:3] for level in levels]


def test_maps_and_levels_of_the_student():
  variables, maps, levels = shapes((96, 64))
  channels = {'class': 10, 'size': 2, 'offset': 2, 'palm_frame': 7, 'points': 9}
  assert maps.keys() == channels.keys()
  for name, count in channels.items():
    chex.assert_shape(maps[name], (2, 24, 16, count))
  strides = [2, 4, 8, 16, 32, 16, 8, 4]
  assert sides(levels) == [(96 // s, 64 // s) for s in strides]
  features = [16, 24, 40, 80, 160, 64, 48, 32]
  assert [level.shape[-1] for level in levels] == features
  # As in stored weights.
  assert variables['params']['Head_0'].keys() == {
    *('kernel', 'bias'),
    *('class', 'size', 'offset', 'frame', 'points'),
  }
  assert {x.dtype for x in jax.tree.leaves((variables, maps, levels))} == {
    jnp.dtype('float32')
  }


def test_parameter_counts_that_reports_name():
  """Other numbers are fine; tables that name these must then change."""

  def count(**options):
    variables, _, _ = shapes((32, 32), **options)
    return sum(leaf.size for leaf in jax.tree.leaves(variables['params']))

  assert count() == 606_854
  assert count(width=2.0, depth=2) == 4_151_694


@pytest.mark.parametrize('factor', [2, 3])
@pytest.mark.parametrize('level', [1, 2, 3, 5])
def test_levels_from_k_on_have_the_size_of_the_student(level, factor):
  _, small_maps, small = shapes((64, 32))
  _, maps, large = shapes(
    (64 * factor, 32 * factor), resolution_level=level, resolution_factor=factor
  )
  chex.assert_trees_all_equal_shapes(maps, small_maps)
  for index, (a, b) in enumerate(zip(sides(small), sides(large), strict=True)):
    ratio = factor if index + 1 < level else 1
    assert b == (ratio * a[0], ratio * a[1])


def test_what_is_refused():
  with pytest.raises(ValueError, match='multiples of 32, got 48×64'):
    shapes((48, 64))
  with pytest.raises(ValueError, match='multiples of 64, got 96×96'):
    shapes((96, 96), resolution_factor=2)
  with pytest.raises(ValueError, match='no stride of level 6'):
    shapes((64, 64), resolution_level=6)
  with pytest.raises(ValueError, match='cannot be multiplied by 0'):
    shapes((64, 64), resolution_factor=0)


def test_compute_type_leaves_parameters_and_output_float32():
  variables, maps, levels = shapes((32, 32), dtype=jnp.bfloat16)
  leaves = jax.tree.leaves((variables, maps, levels))
  assert {x.dtype for x in leaves} == {jnp.dtype('float32')}


@pytest.fixture(scope='module')
def fresh():
  """A narrow student without blocks between the levels, and two images."""
  model = detector.Detector(3, width=0.25, depth=0)
  images = jax.random.normal(jax.random.key(1), (2, 64, 64, 3))
  variables = quick_jit(lambda key: model.init(key, images, train=False))(
    jax.random.key(0)
  )
  forward = quick_jit(lambda v, x: model.apply(v, x, train=False))
  return model, variables, images, forward


def test_a_fresh_network_sees_no_hand(fresh):
  _, variables, images, forward = fresh
  maps, levels = forward(variables, images)
  p = jax.nn.sigmoid(maps['class'])
  np.testing.assert_allclose(p.mean(), 0.1, atol=0.05)
  for name, unit in (('size', 16.0), ('offset', 1.0), ('palm_frame', 16.0)):
    values = np.asarray(maps[name][..., :6])
    # The last convolution of 8 features starts at N(0, 0.001²) of the unit.
    assert 0.0005 * unit < values.std() < 0.01 * unit, name
  bias = variables['params']['Head_0']['class']['bias']
  np.testing.assert_array_equal(bias, np.full(3, -2.19, np.float32))
  bias = variables['params']['Head_0']['points']['bias']
  np.testing.assert_array_equal(bias, np.float32([-2.19] * 3 + [0.0] * 6))
  assert all(level.std() > 1e-2 for level in levels)


def test_images_do_not_see_each_other_in_eval_mode(fresh):
  _, variables, images, forward = fresh
  together, _ = forward(variables, images)
  alone, _ = forward(variables, images.at[1].set(0.0))
  for name, values in together.items():
    np.testing.assert_allclose(values[0], alone[name][0], atol=1e-5)


@pytest.mark.parametrize('factor', [2, 3])
def test_a_larger_stride_sees_what_the_student_sees(fresh, factor):
  """K = 1: an enlarged image and a spread kernel give the same maps."""
  _, variables, images, forward = fresh
  model = detector.Detector(3, width=0.25, depth=0, resolution_factor=factor)
  kernel = variables['params']['Halving_0']['kernel']
  spread = jnp.repeat(jnp.repeat(kernel, factor, axis=0), factor, axis=1)
  params = {
    **variables['params'],
    'Halving_0': {
      **variables['params']['Halving_0'],
      'kernel': spread / factor**2,
    },
  }
  large = jnp.repeat(jnp.repeat(images, factor, axis=1), factor, axis=2)
  got = quick_jit(lambda v, x: model.apply(v, x, train=False))(
    {**variables, 'params': params}, large
  )
  chex.assert_trees_all_close(got, forward(variables, images), atol=1e-4)

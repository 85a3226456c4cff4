"""The reader of palm frames: shapes, sizes, and where a map says a point is."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from palmjax.models import palm_frame

# Compiled faster; runs are short.
quick_jit = functools.partial(
  jax.jit, compiler_options={'xla_backend_optimization_level': '0'}
)


def shapes(size, **options):
  """Abstract variables and output: nothing is compiled."""
  model = palm_frame.PalmFrameRegressor(**options)
  images = jnp.zeros((2, *size, 3))

  def init(key):
    output, variables = model.init_with_output(key, images, train=False)
    return variables, output

  return jax.eval_shape(init, jax.random.key(0))


@pytest.mark.parametrize('dtype', [jnp.float32, jnp.bfloat16])
def test_shapes_and_types(dtype):
  variables, (points, facing) = shapes((48, 32), dtype=dtype)
  chex.assert_shape(points, (2, 3, 2))
  chex.assert_shape(facing, (2,))
  assert variables.keys() == {'params', 'batch_stats'}
  leaves = jax.tree.leaves((variables, points, facing))
  assert {x.dtype for x in leaves} == {jnp.dtype('float32')}


def test_parameter_count_that_reports_name():
  """Another number is fine; texts that name it must then change."""
  variables, _ = shapes((64, 64))
  counts = [leaf.size for leaf in jax.tree.leaves(variables['params'])]
  assert sum(counts) == 113_969


def test_sides_that_do_not_divide():
  with pytest.raises(ValueError, match='multiples of 16, got 32×40: change'):
    shapes((32, 40))


def test_the_place_of_one_cell_is_its_centre():
  logits = np.zeros((2, 4, 5, 3), np.float32)
  cells = np.random.default_rng(0).integers(0, (4, 5), (2, 3, 2))
  for i, k in np.ndindex(2, 3):
    logits[i, *cells[i, k], k] = 100.0
  got = jax.jit(palm_frame.mean_place)(logits)
  want = (cells[..., ::-1] + 0.5) / [5, 4] - 0.5
  np.testing.assert_allclose(got, want, atol=1e-6)


def test_two_cells_alike_show_the_middle_between_them():
  logits = np.full((1, 4, 4, 1), -100.0, np.float32)
  logits[0, 1, 0] = logits[0, 2, 3] = 3.0
  np.testing.assert_allclose(
    palm_frame.mean_place(logits), [[[0.0, 0.0]]], atol=1e-6
  )
  # One e times as likely as the other.
  logits[0, 2, 3] = 4.0
  share = np.e / (1 + np.e)
  want = (1 - share) * np.array([-3, -1]) / 8 + share * np.array([3, 1]) / 8
  got = palm_frame.mean_place(logits)
  np.testing.assert_allclose(got, want[None, None], atol=1e-6)


def test_mean_place_equals_numpy():
  logits = np.random.default_rng(1).normal(size=(2, 3, 5, 4)) * 2
  got = jax.jit(palm_frame.mean_place)(logits.astype(np.float32))
  for i, k in np.ndindex(2, 4):
    share = np.exp(logits[i, ..., k])
    share /= share.sum()
    x = (share.sum(axis=0) * ((np.arange(5) + 0.5) / 5 - 0.5)).sum()
    y = (share.sum(axis=1) * ((np.arange(3) + 0.5) / 3 - 0.5)).sum()
    np.testing.assert_allclose(got[i, k], [x, y], atol=1e-6)


@pytest.fixture(scope='module')
def fresh():
  """A narrow reader and two crops."""
  model = palm_frame.PalmFrameRegressor(width=0.25)
  images = jax.random.normal(jax.random.key(1), (2, 32, 32, 3))
  variables = quick_jit(lambda key: model.init(key, images, train=False))(
    jax.random.key(0)
  )
  forward = quick_jit(lambda v, x: model.apply(v, x, train=False))
  return variables, images, forward


@pytest.mark.slow
def test_crops_do_not_see_each_other_in_eval_mode(fresh):
  variables, images, forward = fresh
  together = forward(variables, images)
  alone = forward(variables, images.at[1].set(0.0))
  for a, b in zip(together, alone, strict=True):
    np.testing.assert_allclose(a[0], b[0], atol=1e-5)
    assert np.abs(a[1] - b[1]).max() > 1e-4


def test_points_may_lie_outside_the_crop(fresh):
  """Of maps that are sure of a corner: 1.25 times as far as its centre."""
  variables, images, forward = fresh
  points, _ = forward(variables, images)
  kernel = variables['params']['points']
  params = {**variables['params'], 'points': 1e4 * kernel}
  sure, _ = forward({**variables, 'params': params}, images)
  # 8 × 8 cells, of which each map takes one.
  cells = (np.asarray(sure) / 1.25 + 0.5) * 8 - 0.5
  np.testing.assert_allclose(cells, np.round(cells), atol=1e-3)
  assert np.abs(points).max() < np.abs(sure).max() <= 1.25 * 7 / 16

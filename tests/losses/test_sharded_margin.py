"""Softmax over classes that are split over devices, and its samples."""

import functools
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec

from palmjax.engine import mesh as meshes
from palmjax.losses import sharded_margin
from tests.engine import device_program

ROWS, CLASSES, SIZE = 12, 11, 5


def test_eight_devices_give_the_dense_loss_and_gradient():
  """With 1, 2, 4 and 8 shards; and what the formulas give in float64."""
  program = pathlib.Path(__file__).with_name('sharded_margin_program.py')
  lines = device_program.run(program, flags=device_program.UNOPTIMISED)
  assert ' '.join(lines).split() == ['1003', '5', 'margins', 'samples']


def draws(labels, count):
  """Rows of `count` draws on one device: [count, SIZE]."""
  mesh = meshes.split(meshes.make(1), 1)

  def draw(keys, labels):
    classes = sharded_margin.classes_of_shard(ROWS, CLASSES, 'model')
    one = functools.partial(
      sharded_margin.sample_rows,
      labels=labels,
      classes=classes,
      size=SIZE,
      axis='model',
    )
    return jax.vmap(one)(keys)

  whole, split = PartitionSpec(), PartitionSpec(None, 'model')
  rows, classes = jax.jit(
    jax.shard_map(draw, mesh=mesh, in_specs=whole, out_specs=split)
  )(jax.random.split(jax.random.key(0), count), jnp.asarray(labels))
  np.testing.assert_array_equal(rows, classes)
  return np.asarray(rows)


def test_all_other_rows_have_the_same_chance():
  rows = draws([7, 2, 7], 4000)
  counts = np.bincount(rows.ravel(), minlength=ROWS)
  assert counts[2] == counts[7] == 4000
  assert counts[11] == 0  # Padding.
  others = np.delete(counts, [2, 7, 11])
  # 3 of 9: a standard deviation of 30.
  np.testing.assert_allclose(others, 4000 / 3, atol=150)


@pytest.mark.parametrize(
  'num_rows, batch, share, size',
  [
    (100, 1, 0.07, 7),
    (100, 1, 0.071, 8),
    (100, 16, 0.07, 16),
    (10, 16, 0.07, 10),
    (100, 16, 1, 100),
  ],
)
def test_a_share_has_room_for_the_labels(num_rows, batch, share, size):
  assert sharded_margin.sample_size(num_rows, batch, share) == size


@pytest.mark.parametrize('share', [0, -0.1, 1.01, float('nan')])
def test_a_share_that_is_none_is_refused(share):
  with pytest.raises(ValueError, match=r'^share=.* above 0 and at most 1$'):
    sharded_margin.sample_size(100, 16, share)


def test_rows_are_taken_and_put_back_and_places_left_over_are_not():
  rows = jnp.arange(6.0).reshape(3, 2)
  drawn = jnp.array([1, 3, 3])
  np.testing.assert_array_equal(
    sharded_margin.take_rows(rows, drawn), [[2, 3], [0, 0], [0, 0]]
  )
  np.testing.assert_array_equal(
    sharded_margin.put_rows(rows, drawn, jnp.full((3, 2), 9.0)),
    [[0, 1], [9, 9], [4, 5]],
  )

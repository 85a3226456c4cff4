"""Convolutions of a batch that is split over devices."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np

from palmjax.ops.conv import by_device
from tests.engine import device_program


def test_four_devices_convolve_their_own_images():
  """Values, gradients and second derivatives are those of one device."""
  program = pathlib.Path(__file__).with_name('by_device_program.py')
  names = 'winograd', 'blocked', 'depthwise/1', 'depthwise/2', 'pointwise'
  assert device_program.run(program, devices=4) == [
    f'{name} {axes}' for name in names for axes in ('data', 'data model')
  ]


def test_a_batch_that_the_devices_do_not_divide_stays_whole():
  """As one image that a network is initialised with."""
  mesh = jax.sharding.AbstractMesh(
    (4,), ('data',), axis_types=(jax.sharding.AxisType.Auto,)
  )
  shapes = []

  def noted(x, kernel):
    shapes.append(x.shape)
    return x * kernel

  def run(x):
    with jax.sharding.use_abstract_mesh(mesh):
      return by_device.convolve(noted, x, jnp.ones((1, 1, 1, 1)))

  for batch in (1, 6, 8):
    jax.make_jaxpr(run)(np.ones((batch, 2, 2, 1), np.float32))
  assert [shape[0] for shape in shapes] == [1, 6, 2]

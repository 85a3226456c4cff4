"""Convolutions of a batch that is split over devices."""

import os
import pathlib
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np

from palmjax.ops.conv import by_device


def test_four_devices_convolve_their_own_images():
  """Values, gradients and second derivatives are those of one device."""
  here = pathlib.Path(__file__)
  flags = (
    f'{os.environ.get("XLA_FLAGS", "")} '
    '--xla_force_host_platform_device_count=4'
  )
  result = subprocess.run(
    [sys.executable, here.with_name('by_device_program.py')],
    env=os.environ
    | {
      'PYTHONPATH': str(here.parents[3]),
      'JAX_PLATFORMS': 'cpu',
      'XLA_FLAGS': flags,
    },
    capture_output=True,
    text=True,
  )
  assert result.returncode == 0, result.stderr[-3000:]
  assert result.stdout.splitlines() == [
    'winograd data',
    'winograd data model',
    'blocked data',
    'blocked data model',
  ]


def test_a_batch_that_the_devices_do_not_divide_stays_whole():
  """As one image that a network is initialised with."""
  mesh = jax.sharding.AbstractMesh((4,), ('data',))
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

"""Convolutions of a split batch, on four devices; prints those that agree.

A process of its own: JAX counts devices when it starts. Set XLA_FLAGS to
--xla_force_host_platform_device_count=4.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from palmjax.engine import mesh as meshes
from palmjax.ops.conv import blocked, winograd
from palmjax.ops.conv import dispatch as conv


def compare(name, convolve, kernel_shape):
  """Loss, gradient and second derivatives on four devices and on one."""
  random = np.random.default_rng(0)
  x = random.normal(size=(8, 6, 6, 5)).astype(np.float32)
  kernel = np.float32(0.2) * random.normal(size=kernel_shape)
  kernel = kernel.astype(np.float32)

  def step(kernel, frozen, x, key):
    del frozen, key

    def loss(kernel, x):
      return jnp.sum(jnp.sin(convolve(x, kernel)))

    def length(kernel):
      value, (of_kernel, of_x) = jax.value_and_grad(loss, (0, 1))(kernel, x)
      total = jnp.sum(jnp.sin(of_kernel)) + jnp.sum(jnp.sin(of_x))
      return total, (value, of_kernel)

    return jax.grad(length, has_aux=True)(kernel)

  def run(mesh):
    program = meshes.jit_step(step, mesh, donate=False)
    arguments = (
      meshes.replicate(kernel, mesh),
      None,
      meshes.shard_batch(x, mesh),
      meshes.replicate(jax.random.key(0), mesh),
    )
    text = program.lower(*arguments).compile().as_text()
    return jax.device_get(program(*arguments)), text

  expected, _ = run(meshes.make(1))
  for mesh in (meshes.make(4), meshes.split(meshes.make(4), 2)):
    values, text = run(mesh)
    for a, b in zip(
      jax.tree.leaves(values), jax.tree.leaves(expected), strict=True
    ):
      np.testing.assert_allclose(a, b, rtol=0, atol=1e-5 * np.max(np.abs(b)))
    # Nowhere is the whole batch, of maps or of what is made of them.
    assert 'all-gather' not in text
    assert 'f32[8,6,6,' not in text
    print(name, *mesh.axis_names)


if __name__ == '__main__':
  assert jax.device_count() == 4
  # One image a block, as of large images.
  for module in (winograd, blocked):
    module.images_per_block = lambda *_: 1
  for lowering in ('winograd', 'blocked'):
    dense = functools.partial(conv.dense, lowering=lowering)
    compare(lowering, dense, (3, 3, 5, 7))
  for stride in (1, 2):
    depthwise = functools.partial(conv.depthwise, stride=stride)
    compare(f'depthwise/{stride}', depthwise, (3, 3, 1, 5))
  compare('pointwise', conv.pointwise, (1, 1, 5, 3))

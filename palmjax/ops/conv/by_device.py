"""A batch that is split over devices: each convolves its own images.

XLA splits its own convolutions so. It cannot split the loops over images of
`winograd` and `blocked`: it would gather the batch on every device. A step of a
ResNet-18 on two CPU devices then took 1.8 times as long.
"""

import jax
from jax.sharding import PartitionSpec


def convolve(function, x, kernel, *settings):
  """Calls function(x, kernel, *settings), on each device with its rows of x.

  The mesh is that of `jax.sharding.use_abstract_mesh`, which
  `engine.mesh.jit_step` enters. Each device has the whole kernel, and its
  gradient is summed over the devices. Without a mesh, or where its devices do
  not divide the batch, `function` gets the whole of x.

  Args:
    function: (x, kernel, *settings) → y, that treats each image by itself.
    x: [B, H, W, C].
    kernel: [kh, kw, C, K].
    *settings: what else `function` takes.

  Returns:
    [B, H', W', K], split as x.
  """
  mesh = jax.sharding.get_abstract_mesh()
  if mesh.size <= 1 or x.shape[0] % mesh.size:
    return function(x, kernel, *settings)
  rows = PartitionSpec(mesh.axis_names)
  return jax.shard_map(
    lambda x, kernel: function(x, kernel, *settings),
    mesh=mesh,
    in_specs=(rows, PartitionSpec()),
    out_specs=rows,
    # The check refuses loops that add up from zeros what each device computes.
    check_vma=False,
  )(x, kernel)

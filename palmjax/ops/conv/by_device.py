"""A batch that is split over devices: each convolves its own images.

XLA splits its own convolutions so. Of the loops over images of `winograd` and
`blocked` it knows no split, and would first gather the batch on every device:
a step of a ResNet-18 on two CPU devices took 1.8 times as long.
"""

import jax
from jax.sharding import PartitionSpec


def convolve(function, x, kernel):
  """Calls function(x, kernel), on each device with its rows of x.

  The mesh is that of `jax.sharding.use_abstract_mesh`; `engine.mesh.jit_step`
  says it. Each device has the whole kernel, and its gradient is summed over
  the devices. Without a mesh, or where its devices do not divide the batch,
  `function` gets the whole of x.

  Args:
    function: (x, kernel) → y, that treats each image by itself.
    x: [B, H, W, C].
    kernel: [kh, kw, C, K].

  Returns:
    [B, H', W', K], split as x.
  """
  mesh = jax.sharding.get_abstract_mesh()
  if mesh.size <= 1 or mesh.manual_axes or x.shape[0] % mesh.size:
    return function(x, kernel)
  rows = PartitionSpec(mesh.axis_names)
  return jax.shard_map(
    function,
    mesh=mesh,
    in_specs=(rows, PartitionSpec()),
    out_specs=rows,
    # It would ask for types in the rules of derivatives, which know no mesh.
    check_vma=False,
  )(x, kernel)

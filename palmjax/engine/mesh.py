"""Devices: the mesh axis `data` splits batches; all else is replicated.

A step compiled here sees the global batch: means, gradients and batch
statistics are those of one device, and no step names an axis.

A mesh of `split` has a second axis, `model`, for a step whose parameters are
too large for one device. A batch is split over both axes. A leaf of the state
that is split over devices stays so, in the loop and in its checkpoints, which
are written by the host and hold it whole.
The devices may belong to several processes (`engine.processes`). Each process
then holds its rows of a batch, one block of them in the order of the processes,
and whole copies of all else. A batch is the same however many processes there
are.
"""

import functools
from concurrent import futures

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from palmjax.engine import processes

AXIS = 'data'
MODEL_AXIS = 'model'


def make(num_devices=None):
  """A one-axis mesh of the first `num_devices` devices; None takes all.

  Raises:
    ValueError: the machine does not have that many devices, or there are
      several processes and some of their devices would be left out.
  """
  devices = sorted(jax.devices(), key=lambda x: (x.process_index, x.id))
  if num_devices is None:
    num_devices = len(devices)
  if not 1 <= num_devices <= len(devices):
    raise ValueError(
      f'{num_devices} devices asked for, this machine has {len(devices)}: '
      f'ask for 1 to {len(devices)}'
    )
  if processes.several() and num_devices != len(devices):
    raise ValueError(
      f'{num_devices} devices asked for, {processes.count()} processes have '
      f'{len(devices)}: ask for all of them'
    )
  return Mesh(np.array(devices[:num_devices]), (AXIS,))


def split(mesh, parts):
  """Gives the devices of a mesh of `make` two axes: `data` and `model`.

  Args:
    mesh: of n devices.
    parts: devices of the axis `model`; `data` has n / parts.

  Raises:
    ValueError: `parts` does not divide n, or the devices are of several
      processes.
  """
  if parts > 1 and processes.several():
    raise ValueError(
      f'{parts} parts on devices of {processes.count()} processes: nothing is '
      'split over processes; give 1 part, or start one process'
    )
  if parts < 1 or mesh.size % parts:
    divisors = [str(n) for n in range(1, mesh.size + 1) if mesh.size % n == 0]
    raise ValueError(
      f'{mesh.size} devices cannot be split into {parts} equal parts: give '
      f'{" or ".join(divisors)}'
    )
  return Mesh(mesh.devices.reshape(-1, parts), (AXIS, MODEL_AXIS))


def split_rows(mesh):
  """Returns the sharding of rows that are split over `model`, on `split`."""
  return NamedSharding(mesh, PartitionSpec(MODEL_AXIS))


def shardings(tree, mesh):
  """The sharding of each leaf: its present one if it is split over `mesh`.

  All other leaves, NumPy arrays too, are replicated.
  """

  def of_leaf(leaf):
    sharding = getattr(leaf, 'sharding', None)
    kept = isinstance(sharding, NamedSharding) and sharding.mesh == mesh
    if kept and not sharding.is_fully_replicated:
      return sharding
    return _replicated(mesh)

  return jax.tree.map(of_leaf, tree)


def _replicated(mesh):
  return NamedSharding(mesh, PartitionSpec())


def batch_sharding(mesh):
  """Returns the sharding of batches: leading axis split over the devices."""
  return NamedSharding(mesh, PartitionSpec(mesh.axis_names))


def replicate(tree, mesh):
  """Puts `tree` on all devices. May share buffers with `tree`.

  `copy_to_devices` does not. All processes must give the same values.
  """
  if processes.several():
    return jax.tree.map(lambda leaf: _put(leaf, _replicated(mesh)), tree)
  return jax.device_put(tree, _replicated(mesh))


def _put(leaf, sharding):
  """`device_put` of what each process has whole, without its comparison.

  JAX compares each array between the processes, a collective an array.
  """
  if jnp.issubdtype(jnp.result_type(leaf), jax.dtypes.prng_key):
    data = _put(jax.random.key_data(leaf), sharding)
    return jax.random.wrap_key_data(data, impl=jax.random.key_impl(leaf))
  if isinstance(leaf, jax.Array) and not leaf.is_fully_addressable:
    return leaf
  leaf = np.asarray(leaf)
  leaf = leaf.astype(jax.dtypes.canonicalize_dtype(leaf.dtype), copy=False)
  return jax.make_array_from_callback(
    leaf.shape, sharding, lambda index: leaf[index]
  )


def local(tree):
  """Gives the arrays of this process: of a replicated `tree`, on one device.

  What one process alone computes is computed of these. Where there is one
  process, `tree` itself.
  """
  if not processes.several():
    return tree
  return jax.tree.map(lambda leaf: leaf.addressable_data(0), tree)


@functools.cache
def _copier(structure, placed):
  def copy(tree):
    # A weakly typed leaf would compile the step once more after its first call.
    return jax.tree.map(
      lambda leaf: jnp.copy(lax.convert_element_type(leaf, leaf.dtype)), tree
    )

  return jax.jit(copy, out_shardings=structure.unflatten(placed))


def copy_to_devices(tree, mesh, placed=None):
  """Copies `tree` to the devices into new buffers, which may be donated.

  Args:
    tree: pytree of arrays.
    mesh: of `make` or `split`.
    placed: `shardings` of its leaves; None: replicated.
  """
  if placed is None:
    placed = _replicated(mesh)
  leaves, structure = jax.tree.flatten(placed)
  # `device_put` alone, even with may_alias=False, hands back the old buffers
  # when the sharding already fits, and borrows those of NumPy arrays.
  if processes.several():  # None of whose meshes is split.
    spread = replicate(tree, mesh)
  else:
    spread = jax.device_put(tree, placed)
  return _copier(structure, tuple(leaves))(spread)


def shard_batch(batch, mesh):
  """Puts `batch` on the devices, the leading axis of every leaf split.

  All processes give the whole batch, or one that lies on the devices already.

  Raises:
    ValueError: a leaf's leading axis does not divide by the device count.
  """
  for path, leaf in jax.tree_util.tree_leaves_with_path(batch):
    if leaf.shape[0] % mesh.size:
      name = jax.tree_util.keystr(path, simple=True, separator='/')
      raise ValueError(
        f"{leaf.shape[0]} rows of batch entry '{name}' do not divide over "
        f'{mesh.size} devices: use a multiple of {mesh.size}'
      )
  sharding = batch_sharding(mesh)
  if processes.several():
    return jax.tree.map(lambda leaf: _put(leaf, sharding), batch)
  return jax.device_put(batch, sharding)


def jit_step(step, mesh, *, placed=None, donate=True):
  """Compiles `step(state, frozen, batch, key) -> (state, metrics)` on `mesh`.

  Args:
    step: pure function.
    mesh: of `make` or `split`.
    placed: `shardings` of the state; None: replicated.
    donate: whether the buffers of `state` are given up to the result.

  Returns:
    The jitted step; `batch` split over the devices, all else replicated.
  """
  replicated = _replicated(mesh)
  if placed is None:
    placed = replicated
  options = None
  platforms = {device.platform for device in mesh.devices.flat}
  least = jax.config.values['jax_disable_most_optimizations']
  if platforms == {'cpu'} and not least:
    # The GAN's updates compile in 0.75 of the CPU-seconds of XLA's usual level,
    # and take as long to run: 0.092 and 0.086 s, 0.061 and 0.064 s.
    options = {'xla_backend_optimization_level': 1}

  @functools.wraps(step)
  def on_mesh(*arguments):
    # So that an operation can say how it is split (`ops.conv.by_device`).
    with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):
      return step(*arguments)

  return jax.jit(
    on_mesh,
    in_shardings=(placed, replicated, batch_sharding(mesh), replicated),
    out_shardings=(placed, replicated),
    donate_argnums=(0,) if donate else (),
    compiler_options=options,
  )


def compile_together(steps, state, frozen, batch, key, *, mesh):
  """Compiles steps of `jit_step` at the same time.

  XLA compiles mostly on one core; the steps of a schedule can share several.
  For programs that are compiled without optimisation: with it the four of the
  GAN took 3 GB at once instead of 1.1, and left the heap in pieces (on 2 cores
  0.17 s an iteration instead of 0.09).

  Args:
    steps: of `jit_step` on `mesh`.
    state, frozen, batch, key: what they will be called with; not changed.
    mesh: of `make`.

  Returns:
    A list of functions as the steps, for arguments of these shapes only.
  """
  arguments = (
    copy_to_devices(state, mesh),
    replicate(frozen, mesh),
    shard_batch(batch, mesh),
    replicate(key, mesh),
  )
  lowered = [step.lower(*arguments) for step in steps]
  with futures.ThreadPoolExecutor() as pool:
    return list(pool.map(lambda step: step.compile(), lowered))

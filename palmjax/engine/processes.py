"""Many processes, one a host, by JAX's own distributed runtime.

All processes run the same program. Batches are split over the devices of all of
them, states are whole in each, and XLA's collectives join them. Process 0 alone
writes into the workdir, which all processes must see.

What the processes decide together is decided by process 0: a value that each
computes for itself may differ in its last bit, and then one process would stop
while the others wait for it.

https://docs.jax.dev/en/latest/multi_process.html
"""

import contextlib
import functools
import json
import os
import re
import sys
import zlib

import jax
import numpy as np
from jax import lax
from jax.experimental import multihost_utils
from jax.sharding import NamedSharding, PartitionSpec

# Seconds without a sign of life after which JAX ends all processes.
HEARTBEAT = 100
# Process 0 measures and writes its report while the others wait to end. A
# process that dies is noticed by its heartbeat, not by this.
_SHUTDOWN = 7 * 24 * 3600
# How XLA words that a process is gone: Gloo, NCCL, JAX's coordinator.
_LOST = re.compile(
  r'gloo|nccl|closed by peer|connection reset|coordination|heartbeat', re.I
)


def start(
  coordinator=None, processes=None, process=None, *, heartbeat=HEARTBEAT
):
  """Joins the processes of a run; call it before JAX looks for devices.

  Without arguments they come from the environment of SLURM, Open MPI or a TPU
  pod slice, and where there is none the process is the only one.

  Args:
    coordinator: HOST:PORT of process 0, or None.
    processes: how many there are; 'auto': JAX asks the cluster; or None.
    process: which one this is, from 0; or None.
    heartbeat: seconds without a sign of life after which all processes end.

  Returns:
    Whether there are several processes.

  Raises:
    ValueError: a part is missing or cannot be; one line.
    OSError: JAX cannot join them; one line. Where the others do not come in
      five minutes JAX ends the process.
  """
  check(coordinator, processes, process, heartbeat=heartbeat)
  if processes is None and not _in_cluster(os.environ):
    return False
  # The loop answers SIGTERM itself (`engine.signals`).
  jax.config.update('jax_enable_preemption_service', False)
  try:
    jax.distributed.initialize(
      coordinator,
      None if processes == 'auto' else processes,
      process,
      heartbeat_timeout_seconds=heartbeat,
      shutdown_timeout_seconds=_SHUTDOWN,
      cluster_detection_method='deactivate' if coordinator else None,
    )
  except (RuntimeError, ValueError) as error:
    raise OSError(
      'cannot join the processes of this run '
      f'({str(error).strip().partition(chr(10))[0]}): start all processes '
      'together, with one --coordinator that all of them reach'
    ) from error
  return count() > 1


def check(coordinator, processes, process, *, heartbeat=HEARTBEAT):
  """Raises ValueError where `start` cannot be called so; says what to give."""
  if heartbeat < 1:
    raise ValueError(f'--heartbeat={heartbeat}: give 1 second or more')
  given = coordinator, processes, process
  if given in ((None, None, None), (None, 'auto', None)):
    return
  if None in (coordinator, processes, process) or processes == 'auto':
    raise ValueError(
      'give --coordinator=HOST:PORT, --processes and --process together, '
      'or --processes=auto alone'
    )
  if not re.fullmatch(r'.+:\d+', coordinator):
    raise ValueError(f'--coordinator={coordinator}: give HOST:PORT')
  if not 0 <= process < processes:
    raise ValueError(
      f'--process={process} of --processes={processes}: give 0 to '
      f'{processes - 1}'
    )


def _in_cluster(environment):
  """Whether a launcher has started several processes that JAX can join."""

  def several(name):
    return environment.get(name, '').isdecimal() and int(environment[name]) > 1

  return (
    # Set by `srun`, not in the script of the batch that calls it.
    ('SLURM_STEP_NODELIST' in environment and several('SLURM_NTASKS'))
    or several('OMPI_COMM_WORLD_SIZE')
    or ',' in environment.get('TPU_WORKER_HOSTNAMES', '')
  )


def end(code):
  """Leaves the other processes; does nothing where there are none.

  Args:
    code: exit code of this process. If it is not 0 the process ends at once,
      and JAX ends the others. Python's own end would first wait for them.
  """
  if not joined():
    return
  if code == 0:
    jax.distributed.shutdown()
    return
  with contextlib.suppress(OSError):
    sys.stdout.flush()
    sys.stderr.flush()
  os._exit(code)


@contextlib.contextmanager
def named_losses():
  """Errors of XLA that mean that another process is gone say so in one line.

  Raises:
    ConnectionError: in place of such an error.
  """
  try:
    yield
  except (ValueError, RuntimeError) as error:
    if not several() or not _LOST.search(str(error)):
      raise
    first = str(error).strip().partition('\n')[0][:200]
    raise ConnectionError(
      f'process {index()} of {count()}: another process of this run is gone, '
      f'and its last line says why ({first}); start all processes again: the '
      'same commands resume'
    ) from error


def joined():
  """Whether this process has joined others, or waits for them."""
  return jax.distributed.is_initialized()


def count():
  """How many processes there are."""
  return jax.process_count()


def index():
  """Which of the processes this is, from 0."""
  return jax.process_index()


def several():
  """Whether there is more than one process."""
  return count() > 1


def is_first():
  """Whether this process is the one that writes."""
  return index() == 0


def wait(name):
  """Returns when all processes have called it with this `name`."""
  if several():
    multihost_utils.sync_global_devices(name)


def arrays_of_first(tree):
  """The arrays that process 0 gave, on every process, bit by bit.

  Args:
    tree: pytree of arrays of the same shapes and types on all processes.

  Returns:
    A pytree of NumPy arrays; `tree` itself where there is one process.
  """
  if not several():
    return tree
  leaves, structure = jax.tree.flatten(tree)
  leaves = [np.asarray(leaf) for leaf in jax.device_get(leaves)]
  content = _bytes_of_first(b''.join(leaf.tobytes() for leaf in leaves))
  ends = np.cumsum([leaf.nbytes for leaf in leaves], dtype=int)
  return structure.unflatten(
    [
      np.frombuffer(content[stop - leaf.nbytes : stop], leaf.dtype)
      .reshape(leaf.shape)
      .copy()
      for leaf, stop in zip(leaves, ends.tolist(), strict=True)
    ]
  )


def value_of_first(value):
  """The JSON value that process 0 gave, on every process."""
  if not several():
    return value
  content = json.dumps(value).encode() if is_first() else b''
  size = arrays_of_first({'size': np.array(len(content))})['size']
  return json.loads(_bytes_of_first(content.ljust(int(size), b' ')))


def _bytes_of_first(content):
  # Sums of bytes and zeros: no bit of a float changes on the way.
  sent = np.frombuffer(content, np.uint8)
  return np.asarray(multihost_utils.broadcast_one_to_all(sent)).tobytes()


def require_same(value, name):
  """Refuses a run whose processes disagree.

  Args:
    value: of JSON.
    name: what it is, for the error.

  Raises:
    ValueError: another process has another value.
  """
  if not several():
    return
  digest = zlib.crc32(json.dumps(value, sort_keys=True).encode())
  digests = multihost_utils.process_allgather(np.array(digest, np.uint32))
  others = np.flatnonzero(digests != digests[0]).tolist()
  if others:
    raise ValueError(
      f'process {others[0]} has another {name} than process 0: give all '
      'processes the same command, the same code and the same data'
    )


class AnyProcess:
  """Tells all processes at the same call that one of them has said yes.

  The answer is that to the call before: so nobody waits for a collective that
  was only just asked for. Where there is one process it is that to this call.
  """

  def __init__(self, mesh):
    """Takes the mesh of the run."""
    self._mesh = mesh
    self._asked = False

  def __call__(self, said):
    """Whether a process said yes.

    Args:
      said: bool, of this process.
    """
    if not several():
      return bool(said)
    flags = np.full(len(jax.local_devices()), said, np.int32)
    sharding = NamedSharding(self._mesh, PartitionSpec(self._mesh.axis_names))
    everyone = jax.make_array_from_process_local_data(sharding, flags)
    before, self._asked = self._asked, _maximum(self._mesh)(everyone)
    return bool(before)


@functools.cache
def _maximum(mesh):
  whole = NamedSharding(mesh, PartitionSpec())
  return jax.jit(lambda flags: lax.reduce_max(flags, (0,)), out_shardings=whole)

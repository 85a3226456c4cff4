"""The batches of a training on the devices, and how long it waits for them.

An iteration lasts from its call for a batch until the metrics of the iteration
before are here. The wait is the part in which the host makes the batch, or
waits for a thread that makes it. Where devices gather a batch themselves
(`streams.DeviceSet`) that is work of the step, and the wait is what it takes to
order it. Evaluations and checkpoints lie between two iterations. The first
iteration of a process is left out: it compiles.
"""

import pathlib
import time

from palmjax import files
from palmjax.engine import mesh as meshes
from palmjax.engine import processes, records

_FILE = 'input_wait.json'


class Feed:
  """Gives the batches of a stage one by one, and keeps time.

  The file input_wait.json in the folder of the stage is {'waiting',
  'iterations'}, in seconds, over all resumed runs.
  """

  def __init__(self, batches, mesh, directory):
    """Fetches nothing yet.

    Args:
      batches: start → iterator, see `loop.fit`.
      mesh: of `mesh.make` or `mesh.split`.
      directory: folder of the stage.

    Raises:
      ValueError: the file is there and is not JSON.
    """
    self._batches, self._mesh = batches, mesh
    self._path = pathlib.Path(directory) / _FILE
    self._seconds = _read(self._path)
    self._iterator = None
    self._called = self._given = None

  def batch(self, step):
    """The batch of a step, split over the devices; None: there is none.

    Args:
      step: one more than at the call before, or any at the first call.

    Raises:
      ValueError: its rows do not divide over the devices.
    """
    self._called = time.monotonic() if self._iterator is not None else None
    if self._iterator is None:
      self._iterator = iter(self._batches(step))
    batch = next(self._iterator, None)
    if batch is not None:
      batch = meshes.shard_batch(batch, self._mesh)
    self._given = time.monotonic()
    return batch

  def settled(self):
    """Ends the iteration that the batch before was for."""
    if self._called is None:
      return
    self._seconds['waiting'] += self._given - self._called
    self._seconds['iterations'] += time.monotonic() - self._called

  def write(self):
    """Writes the file, in the process that writes.

    Raises:
      OSError: it cannot be written.
    """
    if processes.is_first():
      files.write_json(
        self._path, {k: round(v, 3) for k, v in self._seconds.items()}
      )


def shares(workdir):
  """Shares of their time that trainings of a run waited for batches.

  Args:
    workdir: of the run.

  Returns:
    {stage: share}; a stage of one iteration has none.
  """
  seconds = {
    path.parent.name: _read(path)
    for path in sorted(pathlib.Path(workdir).glob(f'*/{_FILE}'))
  }
  return {
    stage: round(x['waiting'] / x['iterations'], 4)
    for stage, x in seconds.items()
    if x['iterations']
  }


def _read(path):
  if not path.exists():
    return {'waiting': 0.0, 'iterations': 0.0}
  return records.read(path)

"""What one call of a compiled step costs, by XLA's own count.

XLA counts the program that it made, so another machine or version of JAX gives
other numbers. The body of a loop counts once, however often it runs, and a
library's routine may count as nothing.
"""

import json
import pathlib

import jax
import jax.numpy as jnp

from palmjax import files
from palmjax.engine import processes

_FILE = 'costs.json'
# XLA's names, and ours.
_COUNTS = {'flops': 'flops', 'bytes accessed': 'bytes'}


class Costs:
  """Costs of the steps of a stage, in costs.json in its folder.

  The file is {step: {'flops', 'bytes'}}, of one call on one device: floating
  point operations, and bytes that its operations read and write. A resumed run
  adds to what it finds there.
  """

  def __init__(self, directory):
    """Counts nothing yet; `directory` is the existing folder of the stage."""
    self._path = pathlib.Path(directory) / _FILE
    self._counted = set()

  def note(self, step, *arguments):
    """Writes down the cost of a step, at its first call here.

    Args:
      step: of `mesh.jit_step` or `mesh.compile_together`, called before: JAX
        hands back what it compiled then, and nothing is compiled here.
      *arguments: like those of that call.

    Raises:
      OSError: the file cannot be written.
      ValueError: it is there and is not JSON.
    """
    if step in self._counted or not processes.is_first():
      return
    self._counted.add(step)
    if not isinstance(step, jax.stages.Compiled):
      step = step.lower(*arguments).compile()
    counts = step.cost_analysis() or {}  # Some backends count nothing.
    (module, *_) = step.runtime_executable().hlo_modules()
    files.write_json(
      self._path,
      {
        **_read(self._path),
        module.name.removeprefix('jit_'): {
          name: int(counts[key])
          for key, name in _COUNTS.items()
          if key in counts
        },
      },
    )


def read(workdir):
  """Costs of all stages of a run: {stage: {step: {'flops', 'bytes'}}}."""
  paths = sorted(pathlib.Path(workdir).glob(f'*/{_FILE}'))
  return {path.parent.name: _read(path) for path in paths}


def _read(path):
  if not path.exists():
    return {}
  try:
    return json.loads(path.read_text())
  except ValueError as error:
    raise ValueError(f'{path} is not JSON ({error}): delete it') from error


def count_images(batch):
  """Number of images in a batch: of leaves of rank 4 and of bytes."""
  return sum(
    leaf.shape[0]
    for leaf in jax.tree.leaves(batch)
    if leaf.ndim == 4 and leaf.dtype == jnp.uint8
  )

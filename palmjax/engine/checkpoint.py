"""Checkpoints that survive a kill.

A checkpoint is one file, STEP.npz. It holds {leaf name: array} and the names of
types that NumPy does not know. It is written under another name and renamed, so
a file of that name is whole. Check sums in the file show damage.

Orbax is not used. It is made for arrays that lie in pieces on many hosts. Here
the state is the same on every device and takes some megabytes, so one file is
enough. Around Orbax this module was longer: it had to wait for the many writers
of a failed checkpoint, to remove their files and to silence their errors.
"""

import functools
import json
import pathlib
import shutil
import zipfile
from concurrent import futures

import jax
import jax.numpy as jnp
import numpy as np

from palmjax import files

# Entries of a file: a leaf is no argument of `np.savez` then.
_LEAF, _TYPES = 'leaf/', 'types'


class Checkpoints:
  """The checkpoints of one training run; a context manager.

  `save` returns as soon as it has copied the state to the host; a thread writes
  it. Whoever leaves the context has waited for that thread.

  Attributes:
    directory: holds one file per step.
  """

  def __init__(self, directory, *, keep=2):
    """Removes what a killed writer left behind; keeps the `keep` newest."""
    self.directory = pathlib.Path(directory).absolute()
    self.directory.mkdir(parents=True, exist_ok=True)
    self._keep = keep
    self._thread = futures.ThreadPoolExecutor(1, 'checkpoint')
    self._writing = None
    for partial in self.directory.glob('*.tmp'):
      partial.unlink()

  def __enter__(self):
    return self

  def __exit__(self, kind, error, traceback):
    try:
      if kind is None:
        self.wait()
    finally:
      self._thread.shutdown(wait=True)

  def path(self, step):
    """The file of a step."""
    return self.directory / f'{step}.npz'

  def steps(self):
    """Steps that can be restored, ascending."""
    names = (path.stem for path in self.directory.glob('*.npz'))
    return sorted(int(name) for name in names if name.isdecimal())

  def latest(self):
    """The newest step that can be restored, or None."""
    return max(self.steps(), default=None)

  def save(self, step, state):
    """Copies `state` now, writes it behind the caller's back as `step`.

    Args:
      step: int.
      state: pytree of arrays, without random keys; its buffers may be donated
        as soon as this returns.

    Raises:
      OSError: the checkpoint before this one could not be written.
    """
    self.wait()
    names, leaves, _ = _named_leaves(state)
    # A view of a donated buffer would change under the writer: copy.
    arrays = {
      name: np.array(leaf) for name, leaf in zip(names, leaves, strict=True)
    }
    self._writing = self._thread.submit(self._write, step, arrays)

  def wait(self):
    """Returns when nothing is left to write.

    Raises:
      OSError: it could not be written; older checkpoints are intact.
    """
    writing, self._writing = self._writing, None
    if writing is not None:
      writing.result()

  def restore(self, like, step=None):
    """The state saved at `step`, by default the latest, as NumPy arrays.

    Args:
      like: pytree of arrays with the structure, shapes and types to expect.
      step: int or None.

    Returns:
      A pytree like `like`.

    Raises:
      FileNotFoundError: there is no such checkpoint.
      ValueError: unreadable, or a leaf is missing, superfluous, or of another
        shape or type.
    """
    step = self.latest() if step is None else step
    path = self.path(step)
    if not path.is_file():
      raise FileNotFoundError(f'no checkpoint {step} in {self.directory}')
    saved = _read(path)
    names, leaves, treedef = _named_leaves(like)
    problem = _first_difference(saved, dict(zip(names, leaves, strict=True)))
    if problem:
      raise ValueError(
        f'checkpoint {path} does not fit: {problem}; use another workdir or '
        f'delete {self.directory}'
      )
    return treedef.unflatten([saved[name] for name in names])

  def _write(self, step, arrays):
    """Runs in the thread: space check, the file, then drops the oldest."""
    needed = sum(array.nbytes for array in arrays.values())
    cause = None
    if shutil.disk_usage(self.directory).free > needed:
      try:
        files.write_file(self.path(step), functools.partial(_pack, arrays))
        for old in self.steps()[: -self._keep]:
          self.path(old).unlink()
        return
      except OSError as error:
        cause = error.__cause__ or error
    free = shutil.disk_usage(self.directory).free
    reason = 'disk full' if cause is None else _first_line(cause)
    latest = self.latest()
    intact = (
      'there is no earlier one'
      if latest is None
      else f'checkpoint {latest} is intact'
    )
    raise OSError(
      f'cannot write checkpoint {step} to {self.directory}: needs '
      f'{_megabytes(needed)}, {_megabytes(free)} free ({reason}); {intact}: '
      f'make room and run the same command again'
    ) from cause


def _named_leaves(tree):
  leaves, treedef = jax.tree_util.tree_flatten_with_path(tree)
  names = [
    jax.tree_util.keystr(path, simple=True, separator='/') for path, _ in leaves
  ]
  return names, [leaf for _, leaf in leaves], treedef


def _describe(leaf):
  shape = ', '.join(str(size) for size in np.shape(leaf))
  return f'{jnp.result_type(leaf)}[{shape}]'


def _pack(arrays, file):
  """Writes {name: array} into an open file."""
  types = {name: array.dtype.name for name, array in arrays.items()}
  # NumPy stores bfloat16 as bytes without a name.
  types = {k: v for k, v in types.items() if arrays[k].dtype.kind == 'V'}
  np.savez(
    file,
    **{_LEAF + name: array for name, array in arrays.items()},
    **{_TYPES: np.array(json.dumps(types))},
  )


def _read(path):
  """What `_pack` wrote, as {name: array}."""
  try:
    # The zip file closes itself, but not where it is none.
    with path.open('rb') as file, np.load(file) as entries:
      saved = {
        name.removeprefix(_LEAF): entries[name]
        for name in entries.files
        if name.startswith(_LEAF)
      }
      types = json.loads(str(entries[_TYPES]))
  except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile) as error:
    raise ValueError(
      f'checkpoint {path} cannot be read ({_first_line(error)}): delete '
      f'{path} and run again'
    ) from error
  for name, kind in types.items():
    saved[name] = saved[name].view(jnp.dtype(kind))
  return saved


def _first_line(error):
  """Of an error's text; of a long one the end, where the cause stands."""
  text = (str(error).strip() or type(error).__name__).splitlines()[0]
  return text if len(text) <= 160 else f'…{text[-160:]}'


def _megabytes(count):
  return f'{count / 1e6:.1f} MB'


def _first_difference(saved, expected):
  """What keeps `saved` from being used as `expected`, in words, or None."""
  for name, leaf in expected.items():
    if name not in saved:
      return f"'{name}' is missing there"
    there, here = _describe(saved[name]), _describe(leaf)
    if there != here:
      return f"'{name}' is {there} there and {here} here"
  for name in saved:
    if name not in expected:
      return f"'{name}' is there and not here"
  return None

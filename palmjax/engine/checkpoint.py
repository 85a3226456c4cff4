"""Checkpoints that survive a kill.

A checkpoint is a flat Orbax tree {leaf name: array}: no class of ours is needed
to read it, and a leaf that does not fit is named. Orbax writes beside the final
name and renames, so a directory named by a step is complete.
"""

import contextlib
import logging
import os
import pathlib
import shutil
import sys
import time
from concurrent import futures

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp


def _named_leaves(tree):
  leaves, treedef = jax.tree_util.tree_flatten_with_path(tree)
  names = [
    jax.tree_util.keystr(path, simple=True, separator='/') for path, _ in leaves
  ]
  return names, [leaf for _, leaf in leaves], treedef


def _describe(leaf):
  shape = ', '.join(str(size) for size in np.shape(leaf))
  return f'{jnp.result_type(leaf)}[{shape}]'


class Checkpoints:
  """The checkpoints of one training run; a context manager.

  `save` returns as soon as it has copied the state to the host; a thread writes
  it. Whoever leaves the context has waited for that thread.

  Attributes:
    directory: holds one directory per step.
  """

  def __init__(self, directory, *, keep=2):
    """Removes what a killed writer left behind; keeps the `keep` newest."""
    self.directory = pathlib.Path(directory).absolute()
    self.directory.mkdir(parents=True, exist_ok=True)
    self._keep = keep
    # Orbax logs pages of traceback about an error that we raise in one line.
    logging.getLogger('absl').addFilter(_not_from_orbax)
    self._checkpointer = ocp.PyTreeCheckpointer()
    self._thread = futures.ThreadPoolExecutor(1, 'checkpoint')
    self._writing = None
    self._remove_debris()

  def __enter__(self):
    return self

  def __exit__(self, kind, error, traceback):
    try:
      if kind is None:
        self.wait()
    finally:
      self._thread.shutdown(wait=True)

  def steps(self):
    """Steps that can be restored, ascending."""
    names = (path.name for path in self.directory.iterdir())
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
    path = self.directory / str(step)
    if not path.is_dir():
      raise FileNotFoundError(f'no checkpoint {step} in {self.directory}')
    try:
      saved = self._checkpointer.restore(path)
    except Exception as error:  # Orbax documents no exception types.
      raise ValueError(
        f'checkpoint {path} cannot be read ({_first_line(error)}): delete '
        f'{path} and run again'
      ) from error
    names, leaves, treedef = _named_leaves(like)
    problem = _first_difference(saved, dict(zip(names, leaves, strict=True)))
    if problem:
      raise ValueError(
        f'checkpoint {path} does not fit: {problem}; use another workdir or '
        f'delete {self.directory}'
      )
    return treedef.unflatten([saved[name] for name in names])

  def _write(self, step, arrays):
    """Runs in the thread: space check, Orbax, then drops the oldest."""
    needed = sum(array.nbytes for array in arrays.values())
    cause = None
    if shutil.disk_usage(self.directory).free > needed:
      try:
        with _late_writers_hushed():
          self._checkpointer.save(self.directory / str(step), arrays)
      except Exception as error:  # Orbax documents no exception types.
        cause = error
        # What stays goes at the next start; our error is the one to tell.
        with contextlib.suppress(OSError):
          self._remove_debris(quiet=20)
      else:
        for old in self.steps()[: -self._keep]:
          # Renamed first: a kill while it is deleted must not leave a part of
          # a checkpoint under the name of a whole one.
          doomed = self.directory / f'{old}.deleted'
          (self.directory / str(old)).rename(doomed)
          shutil.rmtree(doomed)
        return
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

  def _remove_debris(self, *, quiet=0, patience=100):
    """Removes what is no checkpoint, also while others go on writing it.

    Writers of Orbax that have not noticed yet that the first one failed add
    files, and even make the directory anew.

    Args:
      quiet: looks in a row, a tenth of a second apart, that must find nothing;
        0: one look, whose errors are raised.
      patience: looks at most.
    """
    clean = 0
    for _ in range(patience):
      found = [
        path
        for path in self.directory.iterdir()
        if path.is_dir() and not path.name.isdecimal()
      ]
      for path in found:
        try:
          shutil.rmtree(path)
        except OSError:  # Someone wrote there meanwhile.
          if not quiet:
            raise
      clean = 0 if found else clean + 1
      if clean >= quiet:
        return
      time.sleep(0.1)


def _not_from_orbax(record):
  return f'{os.sep}orbax{os.sep}' not in record.pathname


@contextlib.contextmanager
def _late_writers_hushed():
  """Keeps writers that fail after the first one from talking over our error.

  Orbax gathers many writes and closes its event loop at the first failure. The
  others find it closed, and their threads print tracebacks whenever they get
  there, even below our last line: after a failure the hook stays.
  """
  hook = sys.unraisablehook

  def quieter(unraisable):
    if str(unraisable.exc_value) != 'Event loop is closed':
      hook(unraisable)

  sys.unraisablehook = quieter
  yield
  sys.unraisablehook = hook


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

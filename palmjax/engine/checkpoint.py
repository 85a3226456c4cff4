"""Checkpoints that survive a kill, by Orbax's CheckpointManager.

Orbax does the work on the disk. It writes in threads of its own while training
goes on. It writes into a temporary directory and renames it, so a directory
named by a step is whole. It removes the oldest checkpoints, and what a killed
run left behind.

This module adds what Orbax lacks:
* `restore` compares names, shapes, types and check sums. Orbax may cast types,
  and it reads a large array without a look at what became of its bytes.
* An error is one line that says what is intact and what to do. Orbax raises
  errors of many types and prints pages of tracebacks. They are silenced here.
* A disk that is too full is seen before it is filled.

Where several processes train, each has the whole state: there are no shards to
gather. Process 0 writes it, and is the only one that Orbax counts. Its barriers
would leave the others waiting if a write failed.

A checkpoint holds a flat tree, {leaf name: array}. No class of ours is needed
to read it, and a leaf that does not fit can be named.
"""

import contextlib
import functools
import logging
import os
import pathlib
import re
import shutil
import sys
import zlib

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp

from palmjax.engine import processes

_KEPT = 2  # The newest ones; older ones are deleted.
_ALONE = ocp.options.MultiprocessingOptions(
  primary_host=0, active_processes={0}, barrier_sync_key_prefix='first'
)


class Checkpoints:
  """The checkpoints of one training run; a context manager.

  `save` returns as soon as it has copied the state; threads write it. Whoever
  leaves the context has waited for these threads.

  Attributes:
    directory: holds one directory per step.
  """

  def __init__(self, directory):
    """Removes what a killed writer left behind."""
    self.directory = pathlib.Path(directory).absolute()
    self._saving = None, 0, None  # Step, bytes, an error before the writing.
    self._manager = None
    _silence_orbax()
    if processes.is_first():
      self.directory.mkdir(parents=True, exist_ok=True)
      self._manager = self._open(clean=True)

  def __enter__(self):
    return self

  def __exit__(self, kind, error, traceback):
    try:
      self.wait()
    except OSError:
      if kind is None:
        raise
    finally:
      self._close()

  def steps(self):
    """Steps that can be restored, ascending."""
    if not self.directory.is_dir():  # Process 0 is about to make it.
      return []
    names = (path.name for path in self.directory.iterdir())
    # An older one may lack files: Orbax, or a kill, is deleting it.
    return sorted(int(n) for n in names if n.isdecimal())[-_KEPT:]

  def latest(self):
    """The newest step that can be restored, or None."""
    return max(self.steps(), default=None)

  def save(self, step, state):
    """Copies `state` now and writes it in the background as checkpoint `step`.

    Does nothing in a process other than the first one.

    Args:
      step: int.
      state: pytree of arrays, without random keys and arrays of size 0; its
        buffers may be donated as soon as this returns.

    Raises:
      OSError: the checkpoint before this one could not be written.
    """
    if self._manager is None:
      return
    self.wait()
    # Views; Orbax copies NumPy arrays before it returns.
    leaves = {k: np.asarray(v) for k, v in _named_leaves(state).items()}
    size = sum(leaf.nbytes for leaf in leaves.values())
    problem = None
    try:
      if shutil.disk_usage(self.directory).free <= size:
        raise OSError('disk full')
      items = ocp.args.Composite(
        leaves=ocp.args.PyTreeSave(leaves),
        checksums=ocp.args.JsonSave(_checksums(leaves)),
      )
      self._manager.save(step, args=items, force=True)
    except Exception as error:  # Orbax documents no exception types.
      problem = error
    self._saving = step, size, problem

  def wait(self):
    """Waits until the last `save` is on disk.

    Raises:
      OSError: it could not be written; older checkpoints are intact.
    """
    if self._manager is None:
      return
    step, size, problem = self._saving
    self._saving = None, 0, None
    try:
      self._manager.wait_until_finished()
      if problem:
        raise problem
    except Exception as cause:  # Orbax documents no exception types.
      self._close()
      # Some threads of the failed save may still write: what they leave is
      # removed by whoever opens the folder next.
      for path in self.directory.glob('*-checkpoint-tmp'):
        shutil.rmtree(path, ignore_errors=True)
      self._manager = self._open(clean=False)
      free = shutil.disk_usage(self.directory).free
      kept = [f'checkpoint {kept} is intact' for kept in self.steps()]
      raise OSError(
        f'cannot write checkpoint {step} to {self.directory}: needs '
        f'{size / 1e6:.1f} MB, {free / 1e6:.1f} MB free ({_cause(cause)}); '
        f'{kept[-1] if kept else "there is no earlier one"}: make room and run '
        f'the same command again'
      ) from cause

  def restore(self, like, step=None):
    """Reads the checkpoint of `step`, by default the latest: NumPy arrays.

    Only the first process can: it sends the others what it read.

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
    if step not in self.steps():
      raise FileNotFoundError(f'no checkpoint {step} in {self.directory}')
    path = self.directory / str(step)
    items = ocp.args.Composite(
      leaves=ocp.args.PyTreeRestore(), checksums=ocp.args.JsonRestore()
    )
    try:
      restored = self._manager.restore(step, args=items)
      saved = restored.leaves
      if _checksums(saved) != restored.checksums:
        raise ValueError('the values are not the ones that were saved')
    except Exception as error:  # Orbax documents no exception types.
      raise ValueError(
        f'checkpoint {path} cannot be read ({_cause(error)}): delete '
        f'{path} and run again'
      ) from error
    expected = _named_leaves(like)
    problem = _first_difference(saved, expected)
    if problem:
      raise ValueError(
        f'checkpoint {path} does not fit: {problem}; use another workdir or '
        f'delete {self.directory}'
      )
    return jax.tree.structure(like).unflatten([saved[n] for n in expected])

  def _open(self, *, clean):
    alone = {}
    if processes.several():
      alone = {'create': False, 'multiprocessing_options': _ALONE}
    return ocp.CheckpointManager(
      self.directory,
      options=ocp.CheckpointManagerOptions(
        preservation_policy=ocp.checkpoint_managers.LatestN(_KEPT),
        cleanup_tmp_directories=clean,
        **alone,
      ),
    )

  def _close(self):
    # Each part of the manager raises the error of its thread once.
    if self._manager is None:
      return
    for _ in range(3):
      with contextlib.suppress(Exception):
        self._manager.close()
        break


def _named_leaves(tree):
  return {
    jax.tree_util.keystr(path, simple=True, separator='/'): leaf
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
  }


def _checksums(leaves):
  return {name: zlib.crc32(leaf.tobytes()) for name, leaf in leaves.items()}


def _describe(leaf):
  shape = ', '.join(str(size) for size in np.shape(leaf))
  return f'{jnp.result_type(leaf)}[{shape}]'


_ORBAX = os.path.join(os.path.dirname(ocp.__file__), '')


def _is_not_of_orbax(record):
  """Whether a line of a log was written by other code than Orbax's."""
  return not record.pathname.startswith(_ORBAX)


def _is_no_task_of_orbax(record):
  """The same of asyncio's lines, which tell of a task where its code stands."""
  message = record.getMessage()
  return _ORBAX not in message and 'OCDBT' not in message


@functools.cache
def _silence_orbax():
  """Drops what Orbax prints about an error that we raise in one line.

  It logs pages of tracebacks. It also leaves its event loop at the first array
  that fails. The tasks of the other arrays print a traceback each whenever they
  get there, even below our last line.
  """

  logging.getLogger('absl').addFilter(_is_not_of_orbax)
  logging.getLogger('asyncio').addFilter(_is_no_task_of_orbax)
  hook = sys.unraisablehook

  def quieter(unraisable):
    if str(unraisable.exc_value) != 'Event loop is closed':
      hook(unraisable)

  sys.unraisablehook = quieter


def _cause(error):
  """What went wrong, in one line; the system's own words where it has them."""
  text = str(error).strip() or type(error).__name__
  code = re.search(r"os_error_code='(\d+)'", text)
  if code:
    return os.strerror(int(code[1]))
  text = text.splitlines()[0].split(' [tensorstore_spec=')[0]
  # The end of a long text, where the cause stands.
  return text if len(text) <= 160 else f'…{text[-160:]}'


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

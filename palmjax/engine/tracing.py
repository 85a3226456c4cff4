"""A trace of some iterations of a training, for XProf and TensorBoard.

It lies in FOLDER/plugins/profile/TIME/HOST.xplane.pb, where both look for it.
"""

import contextlib

import jax


class Trace:
  """The trace of one stage; a context manager, which ends one under way."""

  def __init__(self, directory, iterations):
    """Begins nothing yet.

    Args:
      directory: folder that the trace is written below.
      iterations: `range` of the iterations to be traced; empty: none. Those
        before the start of a resumed run are left out.
    """
    self._directory = directory
    self._iterations = iterations
    self._running = False

  def __enter__(self):
    return self

  def __exit__(self, kind, error, traceback):
    if self._running:
      # An error under way is worth more than the trace.
      with contextlib.suppress(OSError) if kind else contextlib.nullcontext():
        self._end()

  def before(self, iteration, state):
    """Begins or ends the trace where it is due.

    Args:
      iteration: the one that comes next.
      state: pytree of arrays; work that it waits for is awaited, so that a
        trace holds the work of its iterations and no other.

    Raises:
      OSError: the trace cannot be written.
    """
    if (iteration in self._iterations) == self._running:
      return
    jax.block_until_ready(state)
    if self._running:
      self._end()
    else:
      jax.profiler.start_trace(self._directory)
      self._running = True

  def _end(self):
    self._running = False
    try:
      jax.profiler.stop_trace()
    except (OSError, RuntimeError) as error:  # XLA's is a RuntimeError.
      raise OSError(
        f'cannot write the trace below {self._directory} '
        f'({str(error).splitlines()[0]}): make room, or train without a trace'
      ) from error

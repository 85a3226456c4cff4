"""Seconds of work of the stages of a run, over all resumed runs."""

import contextlib
import pathlib
import threading
import time

from palmjax import files
from palmjax.engine import records

_FILE = 'seconds.json'


@contextlib.contextmanager
def running(directory, *, interval=5.0):
  """Adds the seconds spent inside to seconds.json in the folder of a stage.

  It writes every `interval` seconds, so that a kill loses little.

  Raises:
    ValueError: the file is there and is not JSON.
  """
  path = pathlib.Path(directory) / _FILE
  before = records.read(path)['seconds'] if path.exists() else 0.0
  start = time.monotonic()

  def write():
    elapsed = time.monotonic() - start
    files.write_json(path, {'seconds': round(before + elapsed, 1)})

  left = threading.Event()

  def beat():
    while not left.wait(interval):
      with contextlib.suppress(OSError):  # A full disk is the run's to report.
        write()

  thread = threading.Thread(target=beat, daemon=True)
  thread.start()
  try:
    yield
  finally:
    left.set()
    thread.join()
    with contextlib.suppress(OSError):
      write()


def read(workdir):
  """Returns {stage: seconds of work}, summed over all resumed runs."""
  paths = sorted(pathlib.Path(workdir).glob(f'*/{_FILE}'))
  return {path.parent.name: records.read(path)['seconds'] for path in paths}

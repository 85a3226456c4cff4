"""Kills a run in the middle of its work."""

import random
import signal
import time


def kill_after(process, path, *, most):
  """Kills a process some time after it has written a path.

  Args:
    process: of `palmjax_command`.
    path: file or folder that it will write; a file counts once it has bytes.
    most: seconds; the kill is at a random moment before them.
  """
  begun = time.monotonic()
  while not path.exists() or path.stat().st_size == 0:
    assert process.poll() is None, process.communicate()[0]
    assert time.monotonic() - begun < 600
    time.sleep(0.02)
  time.sleep(random.SystemRandom().uniform(0, most))
  process.kill()
  process.communicate()
  assert process.returncode == -signal.SIGKILL

"""Starts the processes of one run on this machine."""

import os
import pathlib
import socket
import subprocess
import sys

_ROOT = pathlib.Path(__file__).parents[2]


def free_port():
  """A port that nobody listens to now."""
  with socket.socket() as listener:
    listener.bind(('localhost', 0))
    return listener.getsockname()[1]


def start(command, count, *, option='{}={}', environment=None):
  """Starts `count` processes of a command; one gets no coordinator.

  Args:
    command: list of words after `python`.
    count: processes.
    option: form of the words that say which one a process is.
    environment: further variables.

  Returns:
    List of `subprocess.Popen` with text in pipes.
  """
  port = free_port()
  started = []
  for process in range(count):
    values = {
      'coordinator': f'localhost:{port}',
      'processes': count,
      'process': process,
    }
    words = [option.format(*item) for item in values.items()]
    started.append(
      subprocess.Popen(
        [sys.executable, *map(str, command), *(words if count > 1 else ())],
        cwd=_ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={
          **os.environ,
          'PYTHONPATH': str(_ROOT),
          'JAX_PLATFORMS': 'cpu',
          **(environment or {}),
        },
      )
    )
  return started


def finish(started, *, timeout=300):
  """Waits for processes.

  Returns:
    List of (exit code, standard output, standard error).
  """
  outputs = [process.communicate(timeout=timeout) for process in started]
  return [
    (process.returncode, *output)
    for process, output in zip(started, outputs, strict=True)
  ]

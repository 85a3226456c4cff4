"""SIGTERM and SIGINT as requests that a loop answers when it can."""

import contextlib
import signal
import threading


@contextlib.contextmanager
def deferred():
  """Yields a list that SIGTERM and SIGINT are appended to.

  The first one of them is remembered; the next acts as it did before.
  """
  caught = []
  if threading.current_thread() is not threading.main_thread():
    yield caught
    return

  def restore():
    for number, handler in before.items():
      signal.signal(number, signal.SIG_DFL if handler is None else handler)

  def handle(number, frame):
    del frame
    caught.append(signal.Signals(number))
    restore()

  before = {
    number: signal.signal(number, handle)
    for number in (signal.SIGTERM, signal.SIGINT)
  }
  try:
    yield caught
  finally:
    restore()

"""Rows that come at once are written in one transaction.

A transaction ends when the disk has it. That takes the same milliseconds for
one row and for many, so rows that came meanwhile share the next transaction.
Nobody is told that a row is kept before its transaction has ended.
"""

import threading
from concurrent import futures

from palmjax.edge.server import database


class Inserts:
  """Inserts of many threads."""

  def __init__(self, engine):
    """Takes an engine of SQLAlchemy."""
    self._engine = engine
    self._lock, self._turn = threading.Lock(), threading.Lock()
    self._waiting = []

  def insert(self, table, **values):
    """As `database.insert`, in a transaction that has ended.

    Raises:
      SQLAlchemyError: none of the rows that shared the transaction was kept.
    """
    future = futures.Future()
    with self._lock:
      self._waiting.append((table, values, future))
    with self._turn:
      # Perhaps the thread before wrote this row, too.
      if not future.done():
        self._write()
    return future.result()

  def _write(self):
    with self._lock:
      rows, self._waiting = self._waiting, []
    try:
      with database.session(self._engine) as session:
        new = [
          database.insert(session, table, **values) for table, values, _ in rows
        ]
    except Exception as error:
      for _, _, future in rows:
        future.set_exception(error)
    else:
      for (_, _, future), inserted in zip(rows, new, strict=True):
        future.set_result(inserted)

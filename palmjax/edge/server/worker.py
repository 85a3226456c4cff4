"""The teacher at work: one thread that embeds and labels what waits.

What waits is in the database. So nothing is lost when the server is killed, and
a label is written once: the row changes its state in the same transaction.
"""

import functools
import json
import threading
import time

import numpy as np
import sqlalchemy as sa

from palmjax.edge import labels, sealing
from palmjax.edge.server import database, uploads

# Labels need the embeddings of references.
_TABLES = database.ReferenceRow, database.SampleRow
_PAUSE = 1.0  # Seconds between two looks, where nobody calls.
# Seconds after a batch that was not full. One image costs the teacher as much
# as a batch, and uploads need the processor.
_GATHER = 0.3


class Worker:
  """Labels of waiting samples, made by a thread of its own."""

  def __init__(self, service, log):
    """Takes a `service.Service` and log(event, **values)."""
    self._service, self._log = service, log
    self._called, self._ended = threading.Event(), threading.Event()
    self._thread = threading.Thread(target=self._run, daemon=True)
    self.waiting = 0
    self.labelled = 0
    self.alive = True

  def start(self):
    """Compiles the teacher's one program, then starts the thread."""
    _embed(self._service, [])
    self._count()
    self._thread.start()

  def stop(self):
    """Ends the thread after the batch that it is at."""
    self._ended.set()
    self._called.set()
    self._thread.join()

  def call(self):
    """Says that there is work."""
    self.waiting += 1
    self._called.set()

  def _run(self):
    while not self._ended.is_set():
      self._called.clear()
      try:
        busy = label_batch(self._service)
        self.labelled += busy
        self._count()
      except Exception as error:
        # The rows wait; the next look tries again, e.g. once the database is
        # back. The text of the error may hold values of a row.
        self._log('labelling failed', error=type(error).__name__)
        busy = 0
        self.alive = False
        time.sleep(_PAUSE)
      else:
        self.alive = True
      if not busy:
        self._called.wait(_PAUSE)
      elif busy < self._service.limits.batch:
        self._ended.wait(_GATHER)

  def _count(self):
    with database.reading(self._service.engine) as session:
      self.waiting = sum(
        session.scalar(
          sa.select(sa.func.count())
          .select_from(table)
          .where(table.state == database.WAITING)
        )
        for table in _TABLES
      )


def label_batch(service):
  """Embeds waiting references, else labels waiting samples: one batch.

  Args:
    service: `service.Service`.

  Returns:
    Number of rows that were dealt with.
  """
  for table in _TABLES:
    with database.reading(service.engine) as session:
      rows = session.scalars(
        sa.select(table)
        .where(table.state == database.WAITING)
        .order_by(table.made)
        .limit(service.limits.batch)
      ).all()
    if rows:
      break
  else:
    return 0
  finish = _FINISH[table]
  embeddings, whole = _embed(
    service, [_opened(service, row.image, row) or b'' for row in rows]
  )
  with database.session(service.engine) as session:
    references = functools.cache(
      functools.partial(_references, service, session)
    )
    for row, embedding, usable in zip(rows, embeddings, whole, strict=True):
      # A deletion may have come in between, or the end of the device.
      device = session.get(
        database.DeviceRow, row.device, with_for_update={'read': True}
      )
      current = session.get(table, (row.device, row.id), with_for_update=True)
      if device.revoked:
        current.state, current.image = database.DELETED, None
      elif current.state == database.WAITING:
        finish(service, references, current, embedding if usable else None)
        current.state, current.image = database.LABELLED, None
  return len(rows)


def purpose(row):
  """What an image or an embedding of a row is sealed for."""
  return f'{row.__tablename__}/{row.device}/{row.id}'


def _opened(service, sealed, row):
  """Bytes of a row; None if they were damaged, for the key is the right one."""
  try:
    return service.sealer.open(sealed, purpose(row))
  except sealing.SealError:
    return None


def _embed(service, contents):
  """(float32 [N, D], bool [N]: whether it is an image) of images as bytes."""
  size = service.teacher.preprocess.image_size
  # Always a whole batch: one program.
  images = np.zeros((service.limits.batch, size, size, 3), np.uint8)
  whole = np.zeros(len(contents), bool)
  for i, content in enumerate(contents):
    try:
      images[i] = uploads.decode(content, size)
      whole[i] = True
    except ValueError:
      pass  # Damaged beyond its header: it gets no label.
  return service.teacher.embed(images)[: len(contents)], whole


def _keep_embedding(service, references, row, embedding):
  del references
  if embedding is not None:
    row.embedding = service.sealer.seal(embedding.tobytes(), purpose(row))


def _keep_label(service, references, row, embedding):
  names, embeddings = references(row.device)
  label = {
    'sample': str(row.id),
    'reference': None,
    'confidence': 0.0,
    'soft': [],
  }
  if embedding is not None and names:
    (soft,), (best,) = labels.soft(
      embedding[None], embeddings, scale=service.scale
    )
    label['soft'] = [
      {'reference': name, 'probability': float(p)}
      for name, p in zip(names, soft, strict=True)
    ]
    label['confidence'] = float(soft.max())
    if best >= service.threshold:
      label['reference'] = names[int(np.argmax(soft))]
  row.label = json.dumps(label)


def _references(service, session, device):
  """(names, embeddings) of the references of a device."""
  table = database.ReferenceRow
  rows = session.scalars(
    sa.select(table)
    .where(table.device == device, table.embedding.is_not(None))
    .order_by(table.id)
    # A deletion waits until the label is written, and then finds it.
    .with_for_update(read=True)
  ).all()
  contents = {str(row.id): _opened(service, row.embedding, row) for row in rows}
  whole = {name: kept for name, kept in contents.items() if kept is not None}
  return [*whole], [np.frombuffer(kept, np.float32) for kept in whole.values()]


_FINISH = {
  database.ReferenceRow: _keep_embedding,
  database.SampleRow: _keep_label,
}

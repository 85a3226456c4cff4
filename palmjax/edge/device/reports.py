"""What a device tells its server of itself: scores and updates, no names."""

import uuid

import numpy as np
import sqlalchemy as sa

from palmjax.edge import protocol
from palmjax.edge.device import capture, models, store, tables


def owe(device, session):
  """Puts a report into the outbox where there is something new to tell."""
  number, total, squares = capture.statistics(device, session)
  trials = session.scalars(
    sa.select(tables.Trial).where(tables.Trial.reported.is_(False)).limit(100)
  ).all()
  if not number and not trials:
    return
  facts = models.facts(device.folder)
  count = sa.select(sa.func.count()).select_from(tables.KeptSample)
  mean = total / number if number else None
  report = protocol.Report(
    student=facts['package'],
    version=facts['version'],
    kept=session.scalar(count.where(tables.KeptSample.state == tables.USABLE)),
    waiting=session.scalar(
      count.where(tables.KeptSample.state == tables.WAITING)
    ),
    attempts=number,
    score_mean=mean,
    score_std=(
      float(np.sqrt(max(squares / number - mean**2, 0.0))) if number else None
    ),
    updates=[
      protocol.Update(
        at=trial.at,
        outcome=trial.outcome,
        samples=trial.samples,
        fnmr_before=trial.before,
        fnmr_after=trial.after,
      )
      for trial in trials
    ],
  )
  path = f'/v1/reports/{uuid.uuid4()}'
  body = report.model_dump_json().encode()
  store.send(device, session, 'POST', path, body)
  for trial in trials:
    trial.reported = True
  capture.clear_statistics(device, session)

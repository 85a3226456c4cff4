"""What a device says to its server, until the server has acknowledged it.

Requests for the server lie in the outbox and leave it when they were answered.
Each may be sent twice: the server knows them by their ids. A network that is
cut, a server that is busy or gone, and a kill lose nothing.
"""

import json

import sqlalchemy as sa

from palmjax.edge import package, protocol, rules
from palmjax.edge.device import (
  capture,
  client,
  learning,
  reports,
  store,
  tables,
)

_LABELS = 100
# Requests that the server will never take.
_REFUSED = (404, 409, 413, 415, 422)


def run(device, server, public_key, settings, now):
  """Sends what waits, fetches labels and the newest student.

  Args:
    device: `store.Store`.
    server: `client.Server`.
    public_key: that packages must be signed with.
    settings: `capture.KeepingRules`.
    now: seconds of the system's clock.

  Returns:
    {'sent', 'refused', 'asked', 'labels', 'student'}: counts, and whether the
    student changed.

  Raises:
    client.UnreachableError, client.DeniedError: what was done until then
      stays done.
  """
  done = {'sent': 0, 'refused': 0, 'asked': 0, 'labels': 0}
  # The first package before all else: nothing works without a student.
  done['student'] = _fetch_student(device, server, public_key)
  with device.session() as session:
    done['asked'] = _ask_for_labels(device, session, settings, now)
  for key, count in _send(device, server).items():
    done[key] += count
  done['labels'] = _fetch_labels(device, server)
  # Last: the report counts the samples as the labels left them.
  with device.session() as session:
    reports.owe(device, session)
  for key, count in _send(device, server).items():
    done[key] += count
  if done['sent']:
    device.clean()  # Of what was sent nothing stays in free pages.
  return done


def _fetch_student(device, server, public_key):
  latest = server.latest()
  if learning.known_version(device) >= latest.version:
    return False
  content = server.ask('GET', f'/v1/packages/{latest.digest}').content
  read = package.read(content, public_key=public_key)
  if read.digest != latest.digest:
    raise package.PackageError('the server sent another package; try again')
  return learning.take_package(device, read)


def _ask_for_labels(device, session, settings, now):
  """Puts second target samples into the outbox, once each (claim 5b)."""
  waiting = session.scalars(
    sa.select(tables.KeptSample).where(
      tables.KeptSample.state == tables.WAITING,
      tables.KeptSample.asked.is_(False),
    )
  ).all()
  if not rules.should_fetch_labels(
    len(waiting),
    enough=settings.ask,
    online=True,
    idle=capture.is_idle(device, session, settings, now),
  ):
    return 0
  for row in waiting:
    image = device.open(row, 'image')
    store.send(device, session, 'PUT', f'/v1/samples/{row.id}', image)
    row.asked = True
  return len(waiting)


def _send(device, server):
  """Sends the outbox in its order."""
  done = {'sent': 0, 'refused': 0}
  while True:
    with device.session() as session:
      row = session.scalar(
        sa.select(tables.Outgoing).order_by(tables.Outgoing.number).limit(1)
      )
      if row is None:
        return done
      body = device.open(row, 'body')
    options = {}
    if body is not None:
      kind = 'application/json' if row.method == 'POST' else 'image/png'
      options = {'content': body, 'headers': {'Content-Type': kind}}
    answer = server.ask(row.method, row.path, **options)
    if answer.is_success:
      done['sent'] += 1
    elif answer.status_code in _REFUSED:
      done['refused'] += 1
    else:
      raise client.UnreachableError(
        f'the server answers {answer.status_code}; try again later'
      )
    with device.session() as session:
      session.execute(
        sa.delete(tables.Outgoing).where(tables.Outgoing.number == row.number)
      )


def _fetch_labels(device, server):
  """Stores labels with their samples (claim 5c); how many there were."""
  count = 0
  while True:
    answer = server.ask('GET', '/v1/labels', params={'limit': _LABELS})
    if answer.status_code != 200:
      raise client.UnreachableError(f'no labels: {client.detail(answer)}')
    labels = [protocol.Label(**one) for one in answer.json()]
    if not labels:
      return count
    with device.session() as session:
      for label in labels:
        count += _store_label(device, session, label)
        path = f'/v1/samples/{label.sample}'
        store.send(device, session, 'DELETE', path)
    # Until they are deleted the same labels would come again.
    _send(device, server)


def _store_label(device, session, label):
  row = session.get(tables.KeptSample, str(label.sample))
  if row is None or row.state != tables.WAITING:
    return 0  # Evicted, forgotten, or labelled already.
  owners = dict(
    session.execute(
      sa.select(tables.KeptReference.id, tables.KeptReference.user)
    ).all()
  )
  user = owners.get(str(label.reference)) if label.reference else None
  if user is None:
    session.delete(row)  # A stranger.
    return 1
  soft = {}
  for one in label.soft:
    if owner := owners.get(str(one.reference)):
      soft[owner] = soft.get(owner, 0.0) + one.probability
  row.user, row.state = user, tables.USABLE
  row.soft = device.seal(json.dumps(soft).encode(), row, 'soft')
  return 1

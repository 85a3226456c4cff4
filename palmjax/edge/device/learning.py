"""Updates of the student, their check, and the way back (D5 to D7, claim 4)."""

import datetime
import json

import jax
import sqlalchemy as sa

from palmjax.edge import rules, update
from palmjax.edge.device import (
  capture,
  jitter,
  material,
  models,
  store,
  tables,
)

TAKEN, REFUSED, ROLLED_BACK = 'taken', 'refused', 'rolled back'
_LAST, _VERSION, _INTENT = 'last update', 'version', 'intent'
# Of an update; sets of at most SET samples.
STEPS, SET, BATCH = 40, 400, 32


def is_due(device, session, settings, now, *, idle=True):
  """Whether the condition of self-distillation holds (claim 1c)."""
  elapsed = store.tick(device, session, now)
  last = store.get(device, session, _LAST)
  return rules.should_self_distill(
    usable(session),
    elapsed - (json.loads(last) if last else 0.0),
    enough=settings.enough,
    period=settings.period,
    idle=idle,
  )


def usable(session):
  """How many samples there are to train on."""
  return session.scalar(
    sa.select(sa.func.count())
    .select_from(tables.KeptSample)
    .where(
      tables.KeptSample.state == tables.USABLE,
      tables.KeptSample.held.is_(False),
    )
  )


def learn(device, student, now, settings=None):
  """Trains the student on what the device kept, and takes it if no worse.

  The store is read in one transaction and written in another one, so nobody
  waits while the student trains. References and held-out samples tell whether
  more palms are refused than before, each student at its own preset score. The
  old student stays where that is so.

  Args:
    device: `store.Store`.
    student: `models.Student` in use.
    now: seconds of the system's clock.
    settings: `update.Settings`; None: the default.

  Returns:
    `tables.Trial`.

  Raises:
    ValueError: there is no sample to learn from, or none to check it by, or
      another student came into use.
  """
  with models.changing(device.folder):
    if models.current(device.folder) != student.name:
      raise ValueError('another student came into use meanwhile: try again')
    return _learn(device, student, now, settings or update.Settings())


def _learn(device, student, now, settings):
  with device.session() as session:
    kept = material.collect(device, session, student)
  if not len(kept['samples'].labels):
    raise ValueError('no sample to learn from was kept yet: identify more')
  if not len(kept['checks']):
    raise ValueError(
      'no image checks an update: enrol a second image of somebody'
    )
  key = jax.random.key(int(kept['seed']))
  before = material.refused_share(student.network, student.preset, kept)
  name, after = student.name, 1.0
  try:
    trained, _ = update.update(
      student.whole,
      kept['references'],
      kept['samples'],
      settings,
      key,
      strangers=student.rehearsed,
      augment=jitter.jitter,
      steps=STEPS,
      set_size=SET,
      batch_size=BATCH,
    )
    name = models.keep_trained(device.folder, student, trained)
    fresh = models.load(device.folder, name)
    after = material.refused_share(fresh.network, fresh.preset, kept)
  except update.NotFiniteError:
    pass  # Refused: nothing was kept of it.
  taken = name != student.name and after <= before
  with device.session() as session:
    if taken:
      # Before the pointer moves: the new student finds its templates.
      capture.complete_templates(device, session, fresh)
    trial = _note(
      session,
      TAKEN if taken else REFUSED,
      len(kept['samples'].labels),
      before,
      after,
    )
    elapsed = store.tick(device, session, now)
    store.put(device, session, _LAST, json.dumps(elapsed).encode())
    if taken:
      _intend(device, session, name, kept['ids'])
  if taken:
    _finish(device)
  elif name != student.name:
    models.discard(device.folder, name)
  return trial


def take_package(device, read):
  """Puts the student of a package into use, unless an older one comes.

  Args:
    device: `store.Store`.
    read: `package.Package`.

  Returns:
    Whether the student changed.

  Raises:
    ValueError, OSError: it cannot be used; the old one stays.
  """
  with models.changing(device.folder):
    if read.version <= known_version(device):
      return False
    name = models.install(device.folder, read)
    student = models.load(device.folder, name)
    with device.session() as session:
      capture.complete_templates(device, session, student)
      store.put(device, session, _VERSION, json.dumps(read.version).encode())
      _intend(device, session, name, [])
    _finish(device)
  return True


def known_version(device):
  """Version of the newest package that this device has had; 0 of none."""
  with device.session() as session:
    known = store.get(device, session, _VERSION)
  return json.loads(known) if known else 0


def finish(device):
  """Ends a change of students that was decided, perhaps before a kill."""
  # Nobody waits for an update that is under way.
  if _intent(device):
    with models.changing(device.folder):
      _finish(device)


def _finish(device):
  intent = _intent(device)
  if intent is None:
    return  # Another process ended it.
  models.switch(device.folder, intent['name'])
  with device.session() as session:
    _consume(session, intent['ids'])
    _drop_templates(device, session)
    session.delete(session.get(tables.KeptSetting, _INTENT))


def _intent(device):
  with device.session() as session:
    kept = store.get(device, session, _INTENT)
  return json.loads(kept) if kept else None


def _intend(device, session, name, ids):
  """Decides on a student; `finish` does the rest, also after a kill."""
  content = json.dumps({'name': name, 'ids': ids}).encode()
  store.put(device, session, _INTENT, content)


def roll_back(device):
  """Goes back to the previous student.

  Returns:
    `tables.Trial`.

  Raises:
    ValueError: there is none.
  """
  with models.changing(device.folder):
    name = models.previous(device.folder)
    if name is None:
      raise ValueError('there is no earlier student to go back to')
    old = models.load(device.folder, name)
    with device.session() as session:
      capture.complete_templates(device, session, old)
      kept = material.collect(device, session, old)
    student = models.load(device.folder, models.current(device.folder))
    before = material.refused_share(student.network, student.preset, kept)
    after = material.refused_share(old.network, old.preset, kept)
    with device.session() as session:
      trial = _note(session, ROLLED_BACK, 0, before, after)
      _intend(device, session, name, [])
    _finish(device)
  return trial


def _note(session, outcome, samples, before, after):
  trial = tables.Trial(
    at=datetime.datetime.now(datetime.UTC).isoformat(timespec='seconds'),
    outcome=outcome,
    samples=samples,
    before=before,
    after=after,
    reported=False,
  )
  session.add(trial)
  session.flush()
  return trial


def _consume(session, ids):
  """Removes what was trained on, and what checked it."""
  if not ids:
    return
  session.execute(
    sa.delete(tables.KeptSample).where(
      sa.or_(tables.KeptSample.id.in_(ids), tables.KeptSample.held.is_(True))
    )
  )


def _drop_templates(device, session):
  """Removes templates of students that no pointer names."""
  named = [models.current(device.folder), models.previous(device.folder)]
  session.execute(
    sa.delete(tables.KeptTemplate).where(
      tables.KeptTemplate.model.not_in(named)
    )
  )

"""Updates of the student, their check, and the way back (D5 to D7, claim 4)."""

import datetime
import json

import jax
import numpy as np
import sqlalchemy as sa

from palmjax.edge import rules, update
from palmjax.edge.device import capture, jitter, models, people, store, tables

TAKEN, REFUSED, ROLLED_BACK = 'taken', 'refused', 'rolled back'
_LAST, _VERSION, _INTENT = 'last update', 'version', 'intent'
# Of an update; sets of at most SET samples.
STEPS, SET, BATCH = 40, 400, 32


def is_due(device, session, settings, now, *, idle=True):
  """Whether the condition of self-distillation holds (claim 1c)."""
  elapsed = store.tick(device, session, now)
  last = store.get(device, session, _LAST)
  return rules.should_self_distill(
    len(_usable(session)),
    elapsed - (json.loads(last) if last else 0.0),
    enough=settings.enough,
    period=settings.period,
    idle=idle,
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
    ValueError: there is no sample to learn from, or none to check it by.
  """
  with device.session() as session:
    material = material_of(device, session, student)
  if not len(material['samples'].labels):
    raise ValueError('no sample was kept yet: identify some palms first')
  if not len(material['checks']):
    raise ValueError(
      'no image checks an update: enrol a second image of somebody'
    )
  key = jax.random.key(int(material['seed']))
  before = refused_share(student.network, student.preset, material)
  name, after = student.name, 1.0
  try:
    trained, _ = update.update(
      student.whole,
      material['references'],
      material['samples'],
      settings or update.Settings(),
      key,
      strangers=student.rehearsed,
      augment=jitter.jitter,
      steps=STEPS,
      set_size=SET,
      batch_size=BATCH,
    )
    name = models.keep_trained(device.folder, student, trained)
    fresh = models.load(device.folder, name)
    after = refused_share(fresh.network, fresh.preset, material)
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
      len(material['samples'].labels),
      before,
      after,
    )
    elapsed = store.tick(device, session, now)
    store.put(device, session, _LAST, json.dumps(elapsed).encode())
    if taken:
      _intend(device, session, name, material['ids'])
  if taken:
    finish(device)
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
  if read.version <= known_version(device):
    return False
  name = models.install(device.folder, read)
  student = models.load(device.folder, name)
  with device.session() as session:
    capture.complete_templates(device, session, student)
    store.put(device, session, _VERSION, json.dumps(read.version).encode())
    _intend(device, session, name, [])
  finish(device)
  return True


def known_version(device):
  """Version of the newest package that this device has had; 0 of none."""
  with device.session() as session:
    known = store.get(device, session, _VERSION)
  return json.loads(known) if known else 0


def finish(device):
  """Ends a change of students that was decided, perhaps before a kill."""
  with device.session() as session:
    kept = store.get(device, session, _INTENT)
  if kept is None:
    return
  intent = json.loads(kept)
  models.switch(device.folder, intent['name'])
  with device.session() as session:
    _consume(session, intent['ids'])
    _drop_templates(device, session)
    session.delete(session.get(tables.KeptSetting, _INTENT))


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
  name = models.previous(device.folder)
  if name is None:
    raise ValueError('there is no earlier student to go back to')
  old = models.load(device.folder, name)
  with device.session() as session:
    capture.complete_templates(device, session, old)
    material = material_of(device, session, old)
  student = models.load(device.folder, models.current(device.folder))
  before = refused_share(student.network, student.preset, material)
  after = refused_share(old.network, old.preset, material)
  with device.session() as session:
    trial = _note(session, ROLLED_BACK, 0, before, after)
    _intend(device, session, name, [])
  finish(device)
  return trial


def _usable(session):
  return session.scalars(
    sa.select(tables.KeptSample.id).where(
      tables.KeptSample.state == tables.USABLE,
      tables.KeptSample.held.is_(False),
    )
  ).all()


def material_of(device, session, student):
  """References, checks and samples as arrays."""
  owners = sorted(people.users(device, session))
  number = {owner: i for i, owner in enumerate(owners)}

  def image(row):
    return capture.unpack(device.open(row, 'image'), student.size)

  references, checks, whose = {}, [], []
  for row in session.scalars(
    sa.select(tables.KeptReference).order_by(tables.KeptReference.id)
  ):
    if row.check:
      checks.append(image(row))
      whose.append(number[row.user])
    else:
      references.setdefault(row.user, image(row))
  images, labels, soft, has_soft, ids = [], [], [], [], []
  for row in session.scalars(
    sa.select(tables.KeptSample)
    .where(tables.KeptSample.state == tables.USABLE)
    .order_by(tables.KeptSample.made, tables.KeptSample.id)
  ):
    if row.held:
      checks.append(image(row))
      whose.append(number[row.user])
      continue
    probabilities = np.zeros(len(owners), np.float32)
    content = device.open(row, 'soft')
    for owner, value in (json.loads(content) if content else {}).items():
      if owner in number:
        probabilities[number[owner]] += value
    # Somebody may have been forgotten since the teacher's answer.
    total = probabilities.sum()
    has_soft.append(total > 0)
    soft.append(probabilities / total if total > 0 else probabilities)
    images.append(image(row))
    labels.append(number[row.user])
    ids.append(row.id)
  shape = (-1, student.size, student.size, 3)
  return {
    'references': np.array([references[owner] for owner in owners], np.uint8),
    'samples': update.Samples(
      np.array(images, np.uint8).reshape(shape),
      np.array(labels, np.int64),
      np.array(soft, np.float32).reshape(-1, len(owners)),
      np.array(has_soft, bool),
    ),
    'checks': np.array(checks, np.uint8).reshape(shape),
    'whose': np.array(whose, np.int64),
    'ids': ids,
    # Equal samples train equally.
    'seed': len(ids),
  }


def refused_share(network, preset, material):
  """Share of the checks that their owner's reference refuses; 0 of none."""
  if not len(material['checks']):
    return 0.0
  references = network.embed(material['references'])[material['whose']]
  cosines = np.sum(network.embed(material['checks']) * references, axis=1)
  return float(np.mean(~rules.passes(rules.score(cosines), preset)))


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

"""Updates that are taken, refused, undone, and killed at any moment."""

import itertools
import threading

import pytest
import sqlalchemy as sa

from palmjax import files
from palmjax.edge import package, update
from palmjax.edge.device import (
  capture,
  learning,
  material,
  models,
  store,
  tables,
)
from tests.edge import devices

pytestmark = pytest.mark.usefixtures('six_samples')


def samples(device):
  with device.session() as session:
    return sorted(session.scalars(sa.select(tables.KeptSample.id)))


def models_of_templates(device):
  with device.session() as session:
    return set(session.scalars(sa.select(tables.KeptTemplate.model)))


def learn(device):
  return learning.learn(device, devices.student(device), 100.0)


def test_a_student_that_refuses_no_more_is_taken(device, monkeypatch):
  """Its templates are made anew and its samples are consumed (claim 4)."""
  monkeypatch.setattr(material, 'refused_share', lambda *args: 0.5)
  old = models.current(device.folder)
  trial = learn(device)
  assert trial.outcome == learning.TAKEN
  assert trial.samples == 4  # Two of six are held out.
  new = models.current(device.folder)
  assert new != old
  assert models.previous(device.folder) == old
  assert samples(device) == []
  assert models_of_templates(device) == {old, new}
  # References embedded by the new student, not by the old one.
  assert devices.identify(device, devices.palm(1)).score == pytest.approx(
    100, abs=1e-3
  )


def test_a_student_that_refuses_more_is_not_taken(device, monkeypatch):
  shares = itertools.count()
  monkeypatch.setattr(
    material, 'refused_share', lambda *args: float(next(shares))
  )
  old, before = models.current(device.folder), samples(device)
  trial = learn(device)
  assert (trial.outcome, trial.before, trial.after) == ('refused', 0.0, 1.0)
  assert models.current(device.folder) == old
  assert samples(device) == before
  assert [p.name for p in (device.folder / 'students').iterdir()] == [old]


def test_what_a_kill_left_of_a_refused_student_does_no_harm(
  device, monkeypatch
):
  old = models.current(device.folder)

  def killed(folder, name):
    (folder / 'students' / name / 'model.json').unlink()
    raise Killed

  monkeypatch.setattr(models, 'discard', killed)
  shares = iter([0.0, 1.0])
  monkeypatch.setattr(material, 'refused_share', lambda *args: next(shares))
  with pytest.raises(Killed):
    learn(device)
  monkeypatch.undo()
  assert models.current(device.folder) == old
  monkeypatch.setattr(learning, 'STEPS', 2)
  monkeypatch.setattr(material, 'refused_share', lambda *args: 0.5)
  assert learn(device).outcome == learning.TAKEN
  assert models.current(device.folder) != old


def test_a_student_that_a_pointer_names_is_not_discarded(device):
  name = models.current(device.folder)
  models.discard(device.folder, name)
  assert devices.student(device).name == name


def test_a_loss_that_is_not_finite_refuses(device, monkeypatch):
  def fail(*args, **options):
    raise update.NotFiniteError('the loss is not finite')

  monkeypatch.setattr(update, 'update', fail)
  old = models.current(device.folder)
  assert learn(device).outcome == learning.REFUSED
  assert models.current(device.folder) == old


def test_back_to_the_student_before(device, monkeypatch):
  monkeypatch.setattr(material, 'refused_share', lambda *args: 0.5)
  with pytest.raises(ValueError, match='no earlier student'):
    learning.roll_back(device)
  old = models.current(device.folder)
  learn(device)
  new = models.current(device.folder)
  write = files.write_file

  def killed(path, content):
    if path.name == 'current':
      raise Killed
    write(path, content)

  # Between the two pointers: the next start ends it, once.
  with monkeypatch.context() as patched:
    patched.setattr(files, 'write_file', killed)
    with pytest.raises(Killed):
      learning.roll_back(device)
  learning.finish(device)
  assert models.current(device.folder) == old
  assert models.previous(device.folder) == new
  with device.session() as session:
    outcomes = session.scalars(sa.select(tables.Trial.outcome)).all()
  assert outcomes == [learning.TAKEN, learning.ROLLED_BACK]
  # Forward again, and back.
  learning.roll_back(device)
  assert learning.roll_back(device).outcome == learning.ROLLED_BACK
  assert models.current(device.folder) == old
  assert models.previous(device.folder) == new
  assert devices.identify(device, devices.palm(2)).name == 'Bob'


class Killed(BaseException):
  """In place of SIGKILL, at a moment of the test's choice."""


@pytest.mark.parametrize(
  'moment',
  [
    pytest.param(number, marks=[] if number == 4 else [pytest.mark.slow])
    for number in range(1, 9)
  ],
)
def test_a_kill_leaves_the_old_or_the_new_student_whole(
  device, monkeypatch, moment
):
  """At each write of the update; the next start ends what was decided."""
  monkeypatch.setattr(material, 'refused_share', lambda *args: 0.5)
  old, before = models.current(device.folder), samples(device)
  count = itertools.count(1)

  def guarded(function):
    def call(*args, **options):
      if next(count) == moment:
        raise Killed
      return function(*args, **options)

    return call

  for module, name in (
    (models, 'keep_trained'),
    (models, 'switch'),
    (capture, 'complete_templates'),
    (store, 'put'),
  ):
    monkeypatch.setattr(module, name, guarded(getattr(module, name)))
  killed = False
  try:
    learn(device)
  except Killed:
    killed = True
  monkeypatch.undo()
  monkeypatch.setattr(material, 'refused_share', lambda *args: 0.5)
  again = store.open_(device.path)
  learning.finish(again)
  now = models.current(again.folder)
  # Whole, and its own templates decide.
  assert devices.identify(again, devices.palm(1)).score == pytest.approx(
    100, abs=1e-3
  )
  if now == old:
    assert killed
    assert samples(again) == before
  else:
    assert samples(again) == []
  with again.session() as session:
    trials = session.scalars(sa.select(tables.Trial)).all()
  assert len(trials) == (0 if now == old else 1)


def test_it_is_time(device):
  """(n ≥ N or t passed) and idle (claim 1c)."""

  def due(now, *, idle=True, enough=4):
    settings = capture.KeepingRules(enough=enough, period=1000.0)
    with device.session() as session:
      return learning.is_due(device, session, settings, now, idle=idle)

  assert due(10.0)
  assert not due(10.0, idle=False)
  assert not due(10.0, enough=5)
  assert due(2000.0, enough=5)


def test_an_older_package_is_not_installed(device, folder, content):
  public = package.public_text(devices.KEY)
  newer = devices.pack(folder, version=3, scale=2.0)
  old = models.current(device.folder)
  read = package.read(newer, public_key=public)
  assert learning.take_package(device, read)
  assert learning.known_version(device) == 3
  new = models.current(device.folder)
  assert new != old
  for data in (content, newer):
    read = package.read(data, public_key=public)
    assert not learning.take_package(device, read)
  assert models.current(device.folder) == new
  assert devices.identify(device, devices.palm(1)).name == 'Ann'
  assert len(samples(device)) == 6  # They are still to be learned from.


def test_a_package_that_comes_while_the_student_learns_is_used(
  device, folder, content, monkeypatch
):
  """The update is of the student before, so the package waits for its end."""
  newer = devices.pack(folder, version=3, scale=2.0)
  read = package.read(newer, public_key=package.public_text(devices.KEY))
  arrival = threading.Thread(target=learning.take_package, args=[device, read])
  train = update.update

  def delayed(*args, **options):
    arrival.start()
    arrival.join(3)  # It could end in this time.
    return train(*args, **options)

  monkeypatch.setattr(update, 'update', delayed)
  before = devices.student(device)
  learning.learn(device, before, 100.0)
  arrival.join()
  assert models.facts(device.folder)['version'] == 3
  with pytest.raises(ValueError, match='another student came into use'):
    learning.learn(device, before, 101.0)

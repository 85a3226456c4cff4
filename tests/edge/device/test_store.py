"""The store: sealed on disk, forgotten to the last byte, whole after a kill."""

import os
import sqlite3
import threading

import numpy as np
import pytest
import sqlalchemy as sa

from palmjax.edge import sealing
from palmjax.edge.device import capture, people, store, tables
from tests.edge import devices


def test_files_hold_no_image_template_or_name(device):
  """The file, its write-ahead log, and the folder of students."""
  image = devices.palm(1)
  devices.enrol(device, 'Ann Example', image, devices.near(image, 2))
  stranger = devices.stranger(device, image)
  devices.identify(device, stranger)
  devices.identify(device, stranger)
  student = devices.student(device)
  embedding = student.network.embed(image[None])[0]
  with device.session() as session:
    row = session.scalars(sa.select(tables.KeptTemplate)).first()
    template = device.open(row, 'value')
    assert session.scalar(
      sa.select(tables.KeptSample.kind).where(
        tables.KeptSample.kind == tables.SECOND
      )
    )
  assert (device.path.parent / 'palm.db-wal').exists()
  stored = devices.stored(device)
  for secret in (
    b'Ann Example',
    capture.pack(image)[40:80],
    image.tobytes()[:48],
    embedding.tobytes()[:16],
    template[:16],
  ):
    assert secret not in stored
  assert device.path.stat().st_mode & 0o077 == 0


def test_who_is_forgotten_leaves_no_trace(device):
  """Sealed bytes count, too: they are gone from all files."""
  devices.enrol(device, 'Ann', devices.palm(1), devices.palm(1))
  devices.enrol(device, 'Bob', devices.palm(2))
  devices.identify(device, devices.near(devices.palm(1), 3, amount=40))
  with device.session() as session:
    ann = people.user_of(device, session, 'Ann')
    references = session.scalars(
      sa.select(tables.KeptReference).where(tables.KeptReference.user == ann.id)
    ).all()
    traces = [ann.name, ann.tag, ann.id.encode()]
    traces += [row.image for row in references]
    traces += [
      row.value
      for row in session.scalars(
        sa.select(tables.KeptTemplate).where(
          tables.KeptTemplate.reference.in_([row.id for row in references])
        )
      )
    ]
  before = devices.stored(device)
  assert all(trace[:24] in before for trace in traces)
  with device.session() as session:
    people.forget(device, session, 'Ann')
  device.clean()
  after = devices.stored(device)
  assert not any(trace[:24] in after for trace in traces)
  with device.session() as session:
    assert list(people.users(device, session).values()) == ['Bob']
    # The server is told, and what was not sent yet never will be.
    sent = session.scalars(sa.select(tables.Outgoing)).all()
    paths = {(row.method, row.path) for row in sent}
  for row in references:
    assert ('DELETE', f'/v1/references/{row.id}') in paths
    assert ('PUT', f'/v1/references/{row.id}') not in paths
  with (
    device.session() as session,
    pytest.raises(store.StoreError, match="nobody is enrolled as 'Ann'"),
  ):
    people.forget(device, session, 'Ann')


def test_a_fresh_key_seals_everything_anew(device):
  devices.enrol(device, 'Ann', devices.palm(1))
  old = device.path.with_name('palm.db.key').read_bytes()
  score = devices.identify(device, devices.palm(1)).score
  device.rotate_key()
  assert devices.identify(device, devices.palm(1)).score == score
  again = store.open_(device.path)
  with again.session() as session:
    assert people.user_of(again, session, 'Ann')
  (device.path.with_name('old.key')).write_bytes(old)
  with pytest.raises(store.StoreError, match='sealed with another key'):
    store.open_(device.path, key_file=device.path.with_name('old.key'))


def test_a_process_with_the_old_key_writes_nothing_any_more(device):
  other = store.open_(device.path)
  device.rotate_key()
  with (
    pytest.raises(sealing.SealError, match='the key is another one'),
    other.session() as session,
  ):
    store.put(other, session, 'name', b'lost')
  with device.session() as session:
    assert store.get(device, session, 'name') is None


@pytest.mark.parametrize('done', [False, True])
def test_a_rotation_that_was_killed_is_ended_or_undone(
  device, monkeypatch, done
):
  """Before its transaction, or after it and before the key took its place."""
  devices.enrol(device, 'Ann', devices.palm(1))

  def kill(*args):
    raise KeyboardInterrupt

  if done:
    monkeypatch.setattr(os, 'replace', kill)

    # The new key is written by the same call; let that one through.
    def write(path, content):
      with open(path, 'wb') as file:
        file.write(content)

    monkeypatch.setattr(sealing, 'write_secret', write)
  else:
    monkeypatch.setattr(device, 'open', kill)
  with pytest.raises(KeyboardInterrupt):
    device.rotate_key()
  monkeypatch.undo()
  assert device.path.with_name('palm.db.key.next').exists()
  again = store.open_(device.path)
  assert not device.path.with_name('palm.db.key.next').exists()
  with again.session() as session:
    assert people.user_of(again, session, 'Ann')


def test_programs_that_start_at_once_have_one_key(tmp_path):
  path, keys = tmp_path / 'store.key', []
  barrier = threading.Barrier(8)

  def start():
    barrier.wait()
    keys.append(sealing.key_of_file(path, make=True))

  threads = [threading.Thread(target=start) for _ in range(8)]
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join()
  assert keys == [sealing.key_of_file(path)] * 8
  assert path.stat().st_mode & 0o077 == 0


def test_a_key_that_is_missing_or_none(device, tmp_path, monkeypatch):
  key = device.path.with_name('palm.db.key')
  content = key.read_bytes()
  key.unlink()
  with pytest.raises(store.StoreError, match='is missing; bring it back'):
    store.open_(device.path)
  key.write_text('short')
  with pytest.raises(ValueError, match='64 hexadecimal digits'):
    store.open_(device.path)
  monkeypatch.setenv('PALM_KEY', content.decode())
  store.open_(device.path, key_variable='PALM_KEY')
  file = tmp_path / 'elsewhere'
  file.write_bytes(content)
  store.open_(device.path, key_command=['cat', str(file)])
  with pytest.raises(ValueError, match='command of the key failed'):
    store.open_(device.path, key_command=['false'])
  with pytest.raises(store.StoreError, match='the key is not in a file'):
    store.open_(device.path, key_variable='PALM_KEY').rotate_key()


def test_a_nonce_never_comes_twice_and_a_value_stays_at_its_place():
  sealer = sealing.Sealer(bytes(32))
  sealed = [sealer.seal(b'same', 'place') for _ in range(2000)]
  assert len({one[:12] for one in sealed}) == 2000
  assert sealer.open(sealed[0], 'place') == b'same'
  for wrong in (
    lambda: sealer.open(sealed[0], 'another place'),
    lambda: sealing.Sealer(bytes(31) + b'1').open(sealed[0], 'place'),
    lambda: sealer.open(sealed[0][:-1], 'place'),
    lambda: sealer.open(b'', 'place'),
    lambda: sealer.open(bytes(12) + sealed[0][12:], 'place'),
  ):
    with pytest.raises(sealing.SealError):
      wrong()


def test_old_samples_make_room(device):
  devices.enrol(device, 'Ann', devices.palm(1))
  settings = capture.KeepingRules(failures=1, capacity=3)
  for i in range(5):
    devices.identify(device, devices.palm(50 + i), settings, now=float(i))
  with devices.rows(device, tables.KeptSample) as rows:
    assert len(rows) == 3
    made = sorted(row.made for row in rows)
  assert made == [2.0, 3.0, 4.0]


def test_a_clock_that_is_set_back_counts_as_no_time(device):
  with device.session() as session:
    assert store.tick(device, session, 1000.0) == 0
    assert store.tick(device, session, 1010.0) == 10
    assert store.tick(device, session, 5.0) == 10
    assert store.tick(device, session, 8.0) == 13


def test_a_full_disk_is_one_line_and_keeps_what_was(device):
  devices.enrol(device, 'Ann', devices.palm(1))
  pages = sqlite3.connect(device.path).execute('PRAGMA page_count').fetchone()
  # As if the disk had no more pages.
  with device.engine.connect() as connection:
    raw = connection.connection.driver_connection
    raw.execute(f'PRAGMA max_page_count={pages[0]}')
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    connection.rollback()

  def fill():
    for i in range(200):
      devices.enrol(device, f'user {i}', np.roll(noise, i))

  with pytest.raises(store.StoreError, match='full; make room'):
    fill()
  with device.session() as session:
    names = set(people.users(device, session).values())
    references = session.scalars(sa.select(tables.KeptReference)).all()
    templates = session.scalars(sa.select(tables.KeptTemplate)).all()
  assert 'Ann' in names
  # Whole users, or none of them.
  assert len(names) == len(references) == len(templates)


def test_what_is_no_store_is_refused(tmp_path):
  path = tmp_path / 'palm.db'
  path.write_bytes(b'no database at all, but long enough to look at' * 100)
  path.with_name('palm.db.key').write_text('00' * 32)
  with pytest.raises(store.StoreError, match='cannot be used'):
    store.open_(path)

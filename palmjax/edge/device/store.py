"""The store of a device: an SQLite file whose contents are sealed.

A session of the store is one transaction: a kill leaves all of it or nothing.
The file, its write-ahead log and the logs of the program hold no image,
template or name as they are. The key lies elsewhere (`sealing`).
"""

import contextlib
import hashlib
import hmac
import json
import os
import pathlib
import secrets
import unicodedata
import uuid

import sqlalchemy as sa
from sqlalchemy import orm

from palmjax import files
from palmjax.edge import rules, sealing
from palmjax.edge.device import tables

_CHECK, _CLOCK = 'check', 'clock'
_NEXT = '.next'


class StoreError(ValueError):
  """The store cannot be used as asked; one line says what to do."""


class Store:
  """An open store.

  Attributes:
    path: of the SQLite file.
    folder: beside it, of models.
    engine: of the database.
  """

  def __init__(self, path, key, *, key_file=None):
    """Opens a store, or makes it; `open_` finds the key."""
    self.path = pathlib.Path(path)
    self.folder = files.make_folder(f'{path}.d')
    self._key_file = key_file
    self._sealer = sealing.Sealer(key)
    self._tag_key = hashlib.sha256(b'tag' + key).digest()
    os.chmod(self.folder, 0o700)
    try:
      self.engine = tables.connect(self.path)
      os.chmod(self.path, 0o600)
      with self.session() as session:
        if session.get(tables.KeptSetting, _CHECK) is None:
          put(self, session, _CHECK, b'palmjax')
    except sa.exc.DatabaseError as error:
      raise StoreError(
        f'{path} cannot be used: {error.orig}; give another --store'
      ) from error
    except sealing.SealError as error:
      raise StoreError(
        f'{path} is sealed with another key: give the key that it was made with'
      ) from error

  @contextlib.contextmanager
  def session(self):
    """A transaction: committed at the end, rolled back by an exception.

    Raises:
      StoreError: the disk is full, or the file is damaged; nothing changed.
      SealError: the key is another one.
    """
    try:
      with (
        orm.Session(self.engine, expire_on_commit=False) as opened,
        opened.begin(),
      ):
        # Another process may have changed the key since this one began.
        get(self, opened, _CHECK)
        yield opened
    except sa.exc.OperationalError as error:
      raise StoreError(
        f'{self.path} cannot be written: {error.orig}; make room on the disk '
        'and try again; nothing of this step was kept'
      ) from error

  def seal(self, content, row, column):
    """Sealed bytes for a column of a row."""
    return self._sealer.seal(content, _purpose(row, column))

  def open(self, row, column):
    """The bytes of a sealed column; None where there are none."""
    value = getattr(row, column)
    if value is None:
      return None
    return self._sealer.open(value, _purpose(row, column))

  def tag(self, name):
    """Keyed hash of a user's name, in one spelling."""
    spelled = unicodedata.normalize('NFC', name).strip().encode()
    return hmac.new(self._tag_key, spelled, hashlib.sha256).digest()

  def rotate_key(self):
    """Seals everything with a fresh key.

    The new key lies beside the old one until all is sealed with it, so that a
    kill leaves a store that one of the two opens.

    Raises:
      StoreError: the key is not in a file.
    """
    if self._key_file is None:
      raise StoreError(
        'the key is not in a file: change it where it lies, and give the store '
        '--key-file for the rotation'
      )
    key = secrets.token_bytes(sealing.KEY_BYTES)
    fresh = sealing.Sealer(key)
    tag_key = hashlib.sha256(b'tag' + key).digest()
    sealing.write_secret(f'{self._key_file}{_NEXT}', key.hex().encode())
    with self.session() as session:
      for table, column in tables.SEALED:
        for row in session.scalars(sa.select(table)):
          content = self.open(row, column)
          if content is not None:
            purpose = _purpose(row, column)
            setattr(row, column, fresh.seal(content, purpose))
      old_tag, self._tag_key = self._tag_key, tag_key
      for user in session.scalars(sa.select(tables.KeptUser)):
        # Its name was sealed anew above.
        name = fresh.open(user.name, _purpose(user, 'name')).decode()
        user.tag = self.tag(name)
      self._tag_key = old_tag
    os.replace(f'{self._key_file}{_NEXT}', self._key_file)
    self._sealer, self._tag_key = fresh, tag_key
    self.clean()

  def clean(self):
    """Writes over what was deleted, in the file and in its log."""
    # VACUUM fails within a transaction, which other connections begin.
    with contextlib.closing(self.engine.raw_connection()) as connection:
      for statement in (
        'PRAGMA wal_checkpoint(TRUNCATE)',
        'VACUUM',
        'PRAGMA wal_checkpoint(TRUNCATE)',
      ):
        connection.cursor().execute(statement)


def open_(path, *, key_file=None, key_variable=None, key_command=None):
  """Opens a store, or makes it.

  Args:
    path: of the SQLite file.
    key_file: of the key; by default beside the store, made if need be.
    key_variable: environment variable that holds the key.
    key_command: words of a command that prints it.

  Returns:
    `Store`.

  Raises:
    ValueError, OSError: one line that says what to do.
  """
  if key_variable:
    return Store(path, sealing.key_of_environment(key_variable))
  if key_command:
    return Store(path, sealing.key_of_command(key_command))
  key_file = key_file or f'{path}.key'
  waiting = f'{key_file}{_NEXT}'
  new = not os.path.exists(path)
  if not new and not os.path.exists(key_file):
    raise StoreError(f'the key {key_file} of {path} is missing; bring it back')
  key = sealing.key_of_file(key_file, make=new)
  if os.path.exists(waiting):
    # A rotation was killed: before its transaction, or after it.
    try:
      store = Store(path, key, key_file=key_file)
      os.remove(waiting)
    except StoreError:
      store = Store(path, sealing.key_of_file(waiting), key_file=key_file)
      os.replace(waiting, key_file)
    return store
  return Store(path, key, key_file=key_file)


def put(store, session, name, content):
  """Keeps a setting, bytes."""
  row = tables.KeptSetting(name=name)
  row.value = store.seal(content, row, 'value')
  session.merge(row)


def get(store, session, name):
  """The bytes of a setting, or None."""
  row = session.get(tables.KeptSetting, name)
  return None if row is None else store.open(row, 'value')


def tick(store, session, now):
  """Looks at the clock; seconds that passed, ever (`rules.Clock`).

  Args:
    store: `Store`.
    session: of it.
    now: seconds of the system's clock, which may be set.
  """
  kept = get(store, session, _CLOCK)
  clock = rules.Clock(*json.loads(kept)) if kept else rules.Clock(now)
  clock = rules.tick(clock, now)
  put(store, session, _CLOCK, json.dumps([clock.seen, clock.elapsed]).encode())
  return clock.elapsed


def new_id():
  """A fresh id."""
  return str(uuid.uuid4())


def send(store, session, method, path, body=None):
  """Puts a request for the server into the outbox."""
  row = tables.Outgoing(method=method, path=path)
  session.add(row)
  session.flush()
  if body is not None:
    row.body = store.seal(body, row, 'body')


def evict(session, *, most):
  """Removes samples beyond a number: the oldest, of equal age the surest.

  Args:
    session: of a store.
    most: samples that are kept.

  Returns:
    Ids of those that were removed.
  """
  rows = session.scalars(
    sa.select(tables.KeptSample).order_by(
      tables.KeptSample.made.desc(), tables.KeptSample.score
    )
  ).all()
  removed = rows[most:]
  for row in removed:
    session.delete(row)
  return [row.id for row in removed]


def _purpose(row, column):
  """What a value is sealed for: its place in the tables."""
  keys = sa.inspect(type(row)).primary_key
  name = '/'.join(str(getattr(row, key.name)) for key in keys)
  return f'{row.__tablename__}/{column}/{name}'

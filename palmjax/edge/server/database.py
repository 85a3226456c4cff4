"""Tables of the server, and connections to SQLite or PostgreSQL.

A sample goes from 'waiting' to 'labelled' to 'deleted'. Rows of deleted samples
stay without content, so that a request which comes twice, or too late, makes
nothing new.
"""

import contextlib
import datetime
import pathlib
import uuid

import alembic.command
import alembic.config
import sqlalchemy
from sqlalchemy import orm
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects import sqlite as sqlite_dialect

from palmjax.edge import sqlite

WAITING, LABELLED, DELETED = 'waiting', 'labelled', 'deleted'


_INSERT = {
  'postgresql': postgresql.insert,
  'sqlite': sqlite_dialect.insert,
}


class ServerTable(orm.DeclarativeBase):
  """Parent of all tables."""


class UtcMoment(sqlalchemy.types.TypeDecorator):
  """A time in UTC, with its zone on both kinds of databases."""

  impl = sqlalchemy.DateTime(timezone=True)
  cache_ok = True

  def process_result_value(self, value, dialect):
    """The time with its zone, which SQLite forgets."""
    if value is not None and value.tzinfo is None:
      return value.replace(tzinfo=datetime.UTC)
    return value


class SettingRow(ServerTable):
  """A value of the server itself."""

  __tablename__ = 'setting'
  name: orm.Mapped[str] = orm.mapped_column(primary_key=True)
  value: orm.Mapped[str]


class DeviceRow(ServerTable):
  """A capture device and its token, of which the hash alone is kept."""

  __tablename__ = 'device'
  id: orm.Mapped[uuid.UUID] = orm.mapped_column(primary_key=True)
  label: orm.Mapped[str]
  token_hash: orm.Mapped[str] = orm.mapped_column(unique=True)
  expires: orm.Mapped[datetime.datetime] = orm.mapped_column(UtcMoment)
  # After a rotation the old token is good for a while: the answer with the
  # new one may not have reached the device.
  old_hash: orm.Mapped[str | None] = orm.mapped_column(unique=True)
  old_expires: orm.Mapped[datetime.datetime | None] = orm.mapped_column(
    UtcMoment
  )
  revoked: orm.Mapped[bool] = orm.mapped_column(default=False)
  made: orm.Mapped[datetime.datetime] = orm.mapped_column(UtcMoment)
  seen: orm.Mapped[datetime.datetime | None] = orm.mapped_column(UtcMoment)


class _OfDevice:
  """Columns of what a device sent under an id of its own."""

  device: orm.Mapped[uuid.UUID] = orm.mapped_column(
    sqlalchemy.ForeignKey('device.id'), primary_key=True
  )
  id: orm.Mapped[uuid.UUID] = orm.mapped_column(primary_key=True)
  state: orm.Mapped[str] = orm.mapped_column(index=True)
  # Of the bytes that were sent; '' of a deletion that came first.
  digest: orm.Mapped[str]
  made: orm.Mapped[datetime.datetime] = orm.mapped_column(UtcMoment)
  image: orm.Mapped[bytes | None]  # Sealed; gone once it was embedded.


class ReferenceRow(_OfDevice, ServerTable):
  """Somebody enrolled on a device, as the teacher's sealed embedding."""

  __tablename__ = 'reference'
  embedding: orm.Mapped[bytes | None]


class SampleRow(_OfDevice, ServerTable):
  """A second target sample, and its label as JSON."""

  __tablename__ = 'sample'
  label: orm.Mapped[str | None]


class ReportRow(ServerTable):
  """What a device told of itself, as JSON."""

  __tablename__ = 'report'
  device: orm.Mapped[uuid.UUID] = orm.mapped_column(
    sqlalchemy.ForeignKey('device.id'), primary_key=True
  )
  id: orm.Mapped[uuid.UUID] = orm.mapped_column(primary_key=True)
  made: orm.Mapped[datetime.datetime] = orm.mapped_column(UtcMoment, index=True)
  body: orm.Mapped[str]


class PackageRow(ServerTable):
  """A package of a student."""

  __tablename__ = 'package'
  digest: orm.Mapped[str] = orm.mapped_column(primary_key=True)
  version: orm.Mapped[int] = orm.mapped_column(unique=True)
  made: orm.Mapped[datetime.datetime] = orm.mapped_column(UtcMoment)
  content: orm.Mapped[bytes]


def now():
  """The time in UTC."""
  return datetime.datetime.now(datetime.UTC)


def connect(url):
  """An engine whose tables are those of this version.

  Args:
    url: of SQLAlchemy, e.g. sqlite:///server.db or postgresql://….

  Raises:
    ValueError: the database cannot be reached or used; one line, without the
      password.
  """
  try:
    parsed = sqlalchemy.make_url(url)
    if '@' in (parsed.host or ''):
      raise sqlalchemy.exc.ArgumentError('write an @ of the password as %40')
    if parsed.drivername == 'postgresql':
      parsed = parsed.set(drivername='postgresql+psycopg')
    engine = sqlalchemy.create_engine(parsed, pool_pre_ping=True)
    if engine.dialect.name == 'sqlite':
      sqlite.prepare(engine)
    _migrate(engine)
  except (sqlalchemy.exc.SQLAlchemyError, ImportError) as error:
    # A word may be before the last @, and in options.
    shown = str(url).rpartition('@')[2].partition('?')[0]
    reason = str(getattr(error, 'orig', None) or error).splitlines()[0]
    raise ValueError(
      f'the database {shown} cannot be used: {reason}; give '
      '--database=sqlite:///FILE or --database=postgresql://USER:WORD@HOST/NAME'
    ) from error
  return engine


def _migrate(engine):
  config = alembic.config.Config()
  config.set_main_option(
    'script_location', str(pathlib.Path(__file__).parent / 'migrations')
  )
  with engine.begin() as connection:
    if engine.dialect.name == 'postgresql':
      # Two servers that start at once migrate one after the other.
      connection.execute(
        sqlalchemy.text('SELECT pg_advisory_xact_lock(20114528937)')
      )
    config.attributes['connection'] = connection
    alembic.command.upgrade(config, 'head')


@contextlib.contextmanager
def session(engine):
  """A transaction: committed at the end, rolled back by an exception."""
  with orm.Session(engine, expire_on_commit=False) as opened, opened.begin():
    yield opened


@contextlib.contextmanager
def reading(engine):
  """A transaction that writes nothing, and on SQLite waits for no other one."""
  with session(engine.execution_options(**{sqlite.READS: True})) as opened:
    yield opened


def insert(opened, table, **values):
  """Inserts a row, unless one with its key is there.

  Of two that come at once the second one waits, and then inserts nothing.

  Args:
    opened: session.
    table: class of the row.
    values: of its columns.

  Returns:
    Whether it was inserted.
  """
  make = _INSERT[opened.get_bind().dialect.name]
  statement = make(table.__table__).values(values).on_conflict_do_nothing()
  done = opened.execute(
    statement, execution_options={'preserve_rowcount': True}
  )
  return done.rowcount == 1

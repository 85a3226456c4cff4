"""Tables of a device's store. What tells of people is sealed."""

import sqlalchemy as sa
from sqlalchemy import orm

from palmjax.edge import sqlite

FIRST, SECOND = 'first', 'second'
# A second target sample waits until the server has labelled it.
WAITING, USABLE = 'waiting', 'usable'


class StoreTable(orm.DeclarativeBase):
  """Parent of all tables."""


class KeptSetting(StoreTable):
  """A sealed value of the device itself."""

  __tablename__ = 'setting'
  name: orm.Mapped[str] = orm.mapped_column(primary_key=True)
  value: orm.Mapped[bytes]


class KeptUser(StoreTable):
  """Somebody enrolled."""

  __tablename__ = 'user'
  id: orm.Mapped[str] = orm.mapped_column(primary_key=True)
  name: orm.Mapped[bytes]
  # Keyed hash of the name: finds a user without opening all names.
  tag: orm.Mapped[bytes] = orm.mapped_column(unique=True)


class KeptReference(StoreTable):
  """One enrolled image; of several of a user the last checks updates."""

  __tablename__ = 'reference'
  id: orm.Mapped[str] = orm.mapped_column(primary_key=True)
  user: orm.Mapped[str] = orm.mapped_column(
    sa.ForeignKey('user.id', ondelete='CASCADE'), index=True
  )
  check: orm.Mapped[bool]
  image: orm.Mapped[bytes]


class KeptTemplate(StoreTable):
  """Template of a reference in the embedding space of one model."""

  __tablename__ = 'template'
  reference: orm.Mapped[str] = orm.mapped_column(
    sa.ForeignKey('reference.id', ondelete='CASCADE'), primary_key=True
  )
  model: orm.Mapped[str] = orm.mapped_column(primary_key=True)
  value: orm.Mapped[bytes]


class KeptSample(StoreTable):
  """A target sample (claims 1b, 5a).

  Attributes:
    kind: `FIRST` or `SECOND`.
    state: `WAITING` or `USABLE`.
    user: its label.
    soft: sealed JSON {user: probability} of the teacher.
    held: whether it checks updates and is not trained on.
    asked: whether it was put into the outbox.
    score: of the capture.
    made: seconds on the device's clock of elapsed time.
  """

  __tablename__ = 'sample'
  id: orm.Mapped[str] = orm.mapped_column(primary_key=True)
  kind: orm.Mapped[str]
  state: orm.Mapped[str]
  user: orm.Mapped[str | None] = orm.mapped_column(
    sa.ForeignKey('user.id', ondelete='CASCADE'), index=True
  )
  soft: orm.Mapped[bytes | None]
  image: orm.Mapped[bytes]
  held: orm.Mapped[bool]
  asked: orm.Mapped[bool] = orm.mapped_column(default=False)
  score: orm.Mapped[float]
  made: orm.Mapped[float]


class Outgoing(StoreTable):
  """A request that the server has not acknowledged yet.

  Attributes:
    number: order of sending; no other request ever has it.
    method, path: of the request.
    body: sealed bytes, or None.
  """

  __tablename__ = 'outgoing'
  # SQLite would give the number of a deleted row to the next one. Whoever sent
  # the deleted one would then remove the next one unsent.
  __table_args__ = {'sqlite_autoincrement': True}  # noqa: RUF012
  number: orm.Mapped[int] = orm.mapped_column(primary_key=True)
  method: orm.Mapped[str]
  path: orm.Mapped[str]
  body: orm.Mapped[bytes | None]


class Trial(StoreTable):
  """An update that was tried."""

  __tablename__ = 'trial'
  number: orm.Mapped[int] = orm.mapped_column(primary_key=True)
  at: orm.Mapped[str]
  outcome: orm.Mapped[str]
  samples: orm.Mapped[int]
  before: orm.Mapped[float]
  after: orm.Mapped[float]
  reported: orm.Mapped[bool] = orm.mapped_column(default=False)


# Columns that hold sealed bytes: (table, column), each with the key of its row.
SEALED = (
  (KeptSetting, 'value'),
  (KeptUser, 'name'),
  (KeptReference, 'image'),
  (KeptTemplate, 'value'),
  (KeptSample, 'image'),
  (KeptSample, 'soft'),
  (Outgoing, 'body'),
)


def connect(path):
  """An engine on a store, whose tables are made if they are not there."""
  engine = sa.create_engine(f'sqlite:///{path}')
  sqlite.prepare(engine)
  StoreTable.metadata.create_all(engine)
  return engine

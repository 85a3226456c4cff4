"""Uploads share transactions, and none is acknowledged before its end."""

import threading
import time
import uuid

import pytest
import sqlalchemy as sa
from sqlalchemy import event

from palmjax.edge.server import database, inserts
from tests.edge import served

AT_ONCE = 8


@pytest.fixture
def engine(tmp_path):
  engine = database.connect(f'sqlite:///{tmp_path / "server.db"}')
  yield engine
  engine.dispose()


def setting(name):
  return {'name': name, 'value': 'any'}


def test_rows_that_come_meanwhile_share_a_transaction(engine):
  shared, answers, commits = inserts.Inserts(engine), [], []
  calling = threading.Semaphore(0)

  def insert(name):
    calling.release()
    answers.append(shared.insert(database.SettingRow, **setting(name)))

  threads = [
    threading.Thread(target=insert, args=[str(number)])
    for number in range(AT_ONCE)
  ]
  event.listen(engine, 'commit', lambda connection: commits.append(1))
  # The first one waits for this transaction, and the others for the first one.
  with database.session(engine) as session:
    session.execute(sa.text('SELECT 1'))  # It has begun.
    for thread in threads:
      thread.start()
    for _ in threads:
      calling.acquire()
    time.sleep(1)
    assert answers == []
  for thread in threads:
    thread.join()
  assert answers == [True] * AT_ONCE
  assert len(commits) < AT_ONCE
  with database.reading(engine) as session:
    names = session.scalars(sa.select(database.SettingRow.name)).all()
  assert sorted(names) == [str(number) for number in range(AT_ONCE)]


def test_a_row_that_is_there_stays(engine):
  shared = inserts.Inserts(engine)
  assert shared.insert(database.SettingRow, **setting('a'))
  assert not shared.insert(database.SettingRow, name='a', value='other')
  with database.reading(engine) as session:
    assert session.get(database.SettingRow, 'a').value == 'any'


def test_a_transaction_that_fails_is_told_and_the_next_one_works(engine):
  shared = inserts.Inserts(engine)
  with pytest.raises(sa.exc.IntegrityError):
    shared.insert(
      database.ReportRow,
      device=uuid.uuid4(),  # There is none.
      id=uuid.uuid4(),
      made=database.now(),
      body='',
    )
  assert shared.insert(database.SettingRow, **setting('a'))


def test_a_database_that_fails_is_told_as_such(server, device, monkeypatch):
  """The device comes again; its upload was not acknowledged."""

  def fail(*args, **values):
    raise sa.exc.OperationalError('', {}, Exception('disk full'))

  path = f'/v1/samples/{served.new_id()}'
  put = {'content': served.png(1), 'headers': device}
  monkeypatch.setattr(database, 'insert', fail)
  answer = server.client.put(path, **put)
  assert answer.status_code == 503
  assert int(answer.headers['Retry-After']) > 0
  monkeypatch.undo()
  assert server.client.put(path, **put).status_code == 202

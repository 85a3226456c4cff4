"""The server's start: students that it ships, and its database."""

import pytest

from palmjax.edge import package
from palmjax.edge.server import database, service
from tests.edge import served


def test_devices_get_the_signed_student(server, device, export):
  latest = server.client.get('/v1/packages/latest', headers=device).json()
  content = server.client.get(
    f'/v1/packages/{latest["digest"]}', headers=device
  ).content
  assert len(content) == latest['size']
  read = package.read(content, public_key=server.service.public_key)
  assert (read.digest, read.version) == (latest['digest'], 1)
  assert len(read.impostors) == 40
  missing = server.client.get('/v1/packages/' + '0' * 64, headers=device)
  assert missing.status_code == 404


def test_a_student_that_changed_is_the_next_version(tmp_path, export):
  first, token = served.start(tmp_path, export)
  again, none = served.start(tmp_path, export)
  assert token
  assert none is None
  assert first.public_key == again.public_key
  with database.session(again.engine) as session:
    assert service.latest_package(session).version == 1
  other, _ = service.start(
    folder=tmp_path,
    teacher=export,
    student=export,
    impostors=served.impostors()[1:],
    rehearsed=served.rehearsed(),
    fmr=served.FMR,
  )
  with database.session(other.engine) as session:
    assert service.latest_package(session).version == 2


def test_a_database_that_cannot_be_used_is_one_line(tmp_path):
  for url in (
    'postgresql://u:secret@127.0.0.1:1/x',
    'postgresql://u:at@secret@127.0.0.1:1/x',
    'postgresql://127.0.0.1:1/x?user=u&password=secret',
    'nonsense',
  ):
    with pytest.raises(ValueError, match='cannot be used') as caught:
      database.connect(url)
    assert 'secret' not in str(caught.value)
    assert '\n' not in str(caught.value)

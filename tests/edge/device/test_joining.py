"""What a device keeps of its server."""

import pytest

from palmjax.edge.device import joining, store

TOKEN = 'palm_' + 'x' * 43
PUBLIC = 'a' * 64
CODE = f'{TOKEN}.{PUBLIC}\n'
FIRST, SECOND = 'https://first', 'https://second'


@pytest.fixture
def device(tmp_path):
  """A store that has joined nothing."""
  return store.open_(tmp_path / 'palm.db')


def join(device, **options):
  joining.keep(device, joining.read_code(device, CODE, **options))
  return joining.kept(device)


def address(device):
  with device.session() as session:
    return joining.address(device, session)


def test_a_device_that_has_not_joined(device):
  with pytest.raises(ValueError, match='run `join CODE`'):
    joining.kept(device)
  assert address(device) is None
  with pytest.raises(ValueError, match='this is no join code'):
    joining.read_code(device, 'palm_x')


def test_the_address_is_kept_and_may_be_overridden(device, monkeypatch):
  assert join(device) == ('http://127.0.0.1:8443', TOKEN, PUBLIC, None)
  monkeypatch.chdir(device.path.parent)
  joined = join(device, url=FIRST, certificate='server.pem')
  # Of another folder the file is the same.
  path = str(device.path.parent / 'server.pem')
  assert joined == (FIRST, TOKEN, PUBLIC, path)
  assert joining.kept(device, url=SECOND, certificate='x') == (
    *(SECOND, TOKEN, PUBLIC, 'x'),
  )
  assert joining.kept(device) == joined
  assert address(device) == FIRST


def test_who_joins_again_stays_with_the_server(device):
  joined = join(device, url=FIRST, certificate='/server.pem')
  assert join(device) == joined
  # The certificate was of the other server.
  assert join(device, url=SECOND) == (SECOND, TOKEN, PUBLIC, None)


def test_a_token_alone_is_replaced(device):
  joined = join(device, url=FIRST)
  joining.keep_token(device, 'another')
  assert joining.kept(device) == joined._replace(token='another')


def test_a_certificate_that_cannot_be_read(device, tmp_path):
  joined = join(device, url=FIRST, certificate=tmp_path / 'none.pem')
  with pytest.raises(ValueError, match=r'none\.pem is no certificate'):
    joining.connect(joined)
  (tmp_path / 'none.pem').write_text('nonsense')
  with pytest.raises(ValueError, match=r'none\.pem is no certificate'):
    joining.connect(joined)

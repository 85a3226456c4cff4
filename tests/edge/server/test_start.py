"""The command of the server: what it says before it serves."""

import contextlib
import socket

import numpy as np
import pytest
import uvicorn
from PIL import Image

from palmjax.data.palms import as_read
from palmjax.edge.server import __main__ as command
from palmjax.edge.server import addresses, drawn
from tests.edge import served


@pytest.fixture
def taken():
  """A port that another program listens on."""
  with socket.create_server(('127.0.0.1', 0)) as other:
    yield other.getsockname()[1]


@pytest.fixture
def argv(tmp_path, export, monkeypatch):
  """Words that start a server, whose network never answers."""
  (tmp_path / 'impostors').mkdir()
  for i, palm in enumerate(served.impostors()):
    Image.fromarray(palm).save(tmp_path / 'impostors' / f'{i}.png')
  palms = served.impostors(), served.rehearsed()
  monkeypatch.setattr(drawn, 'palms', lambda folder: palms)
  # It would end the handlers of this process.
  monkeypatch.setattr(uvicorn.Config, 'configure_logging', lambda self: None)
  monkeypatch.setattr(uvicorn.Server, 'run', lambda self, sockets: None)
  with socket.socket() as free:
    free.bind(('127.0.0.1', 0))
    port = free.getsockname()[1]
  return [
    *(f'--teacher={export}', f'--student={export}', f'--port={port}'),
    *(f'--data={tmp_path / "data"}', f'--impostors={tmp_path / "impostors"}'),
    f'--fmr={served.FMR}',
  ]


def test_a_port_in_use_is_one_line_before_all_else(
  argv, taken, tmp_path, capsys
):
  assert command.main([*argv, f'--port={taken}']) == 1
  written = capsys.readouterr()
  assert written.err == (
    f'palmjax: port {taken} is in use; give --port=N, or end the other server\n'
  )
  assert written.out == ''
  assert not (tmp_path / 'data').exists()


def test_a_device_is_added_while_a_server_has_the_port(argv, taken, capsys):
  words = [*argv, f'--port={taken}', '--add-device=door']
  assert command.main(words) == 0
  *_, note, line = capsys.readouterr().out.splitlines()
  assert 'another --store' in note
  assert '--tls-cert' in note
  assert line.startswith('on the device: ')
  assert f'--server=http://127.0.0.1:{taken} ' in line
  assert command.main(words) == 1
  assert "there is a device 'door'" in capsys.readouterr().err


def test_a_host_that_is_not_of_this_machine_is_one_line(argv, capsys):
  assert command.main([*argv, '--host=203.0.113.7']) == 1
  (line,) = capsys.readouterr().err.splitlines()
  assert '--host=203.0.113.7: this machine has no such address' in line


@pytest.mark.parametrize('option', ['teacher', 'student'])
def test_a_folder_without_a_network_is_told_before_palms_are_drawn(
  option, argv, tmp_path, capsys
):
  assert command.main([*argv, f'--{option}={tmp_path / "none"}']) == 1
  written = capsys.readouterr()
  (line,) = written.err.splitlines()
  assert str(tmp_path / 'none') in line
  assert written.out == ''


def test_the_first_start_says_that_palms_are_drawn_once(argv, capsys):
  assert command.main(argv) == 0
  assert 'only at the first start' in capsys.readouterr().out


def test_palms_are_drawn_once(tmp_path, monkeypatch):
  draws = []

  def draw(seed, *, identities, square, **options):
    draws.append(seed)
    return np.zeros((identities, square, square, 3), np.uint8), None, None

  monkeypatch.setattr(as_read, 'draw', draw)
  assert not drawn.are_kept(tmp_path)
  for _ in range(2):
    impostors, rehearsed = drawn.palms(tmp_path)
    assert (len(impostors), len(rehearsed)) == (256, 150)
    assert drawn.are_kept(tmp_path)
  assert len(draws) == 1


@pytest.mark.parametrize(
  'host, warned', [('0.0.0.0', True), ('127.0.0.1', False)]
)
def test_without_https_a_public_address_is_warned_of(
  host, warned, argv, capsys
):
  assert command.main([*argv, f'--host={host}']) == 0
  written = capsys.readouterr()
  words = f'warning: --host={host} without --tls-cert'
  assert (words in written.err) == warned
  assert 'serving http://' in written.out


@pytest.mark.parametrize(
  'host, tls, want',
  [
    ('127.0.0.1', False, 'http://127.0.0.1:8443'),
    ('palm.example', True, 'https://palm.example:8443'),
    ('0.0.0.0', True, 'https://ADDRESS:8443'),
    ('::', False, 'http://ADDRESS:8443'),
    ('::1', True, 'https://[::1]:8443'),
  ],
)
def test_urls_are_those_that_a_device_may_ask(host, tls, want):
  assert addresses.url(addresses.to_ask(host), 8443, tls=tls) == want


def test_a_socket_is_local_or_not():
  for host, local in (('127.0.0.1', True), ('0.0.0.0', False)):
    with contextlib.closing(addresses.bind(host, 0)) as bound:
      assert addresses.is_local(bound) == local


def test_another_sealing_key_is_refused(argv, tmp_path, capsys):
  assert command.main(argv) == 0
  key = tmp_path / 'data' / 'sealing.key'
  right = key.read_bytes()
  key.unlink()  # A fresh one is made.
  capsys.readouterr()
  assert command.main(argv) == 1
  assert capsys.readouterr().err == (
    f'palmjax: {key} is not the key that this database was sealed with: put '
    'that file back, or give another --database\n'
  )
  key.write_bytes(right)
  assert command.main(argv) == 0

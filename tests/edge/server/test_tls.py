"""The server as a process of its own, over HTTPS."""

import datetime
import ipaddress
import re
import socket
import ssl
import subprocess
import sys

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from PIL import Image

from palmjax.edge import protocol
from tests.edge import served

pytestmark = pytest.mark.slow


def write_certificate(folder):
  """Key and certificate of 127.0.0.1, signed by itself; returns two paths."""
  key = ec.generate_private_key(ec.SECP256R1())
  name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, 'palmjax')])
  now = datetime.datetime.now(datetime.UTC)
  address = x509.IPAddress(ipaddress.ip_address('127.0.0.1'))
  certificate = (
    x509.CertificateBuilder()
    .subject_name(name)
    .issuer_name(name)
    .public_key(key.public_key())
    .serial_number(x509.random_serial_number())
    .not_valid_before(now - datetime.timedelta(hours=1))
    .not_valid_after(now + datetime.timedelta(days=1))
    .add_extension(x509.SubjectAlternativeName([address]), critical=False)
    .sign(key, hashes.SHA256())
  )
  paths = folder / 'server.pem', folder / 'server.key.pem'
  paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
  paths[1].write_bytes(
    key.private_bytes(
      serialization.Encoding.PEM,
      serialization.PrivateFormat.PKCS8,
      serialization.NoEncryption(),
    )
  )
  return paths


@pytest.fixture(scope='module')
def command(tmp_path_factory):
  """Words that start a server; its folder has a certificate, server.pem."""
  folder = tmp_path_factory.mktemp('tls')
  certificate, key = write_certificate(folder)
  export = served.network(folder / 'network')
  (folder / 'impostors').mkdir()
  for i, palm in enumerate(served.impostors()):
    Image.fromarray(palm).save(folder / 'impostors' / f'{i}.png')
  with socket.socket() as free:
    free.bind(('127.0.0.1', 0))
    port = free.getsockname()[1]
  return [
    *(sys.executable, '-m', 'palmjax.edge.server', f'--data={folder / "data"}'),
    *(f'--teacher={export}', f'--student={export}', f'--port={port}'),
    *(f'--impostors={folder / "impostors"}', f'--fmr={served.FMR}'),
    *(f'--tls-cert={certificate}', f'--tls-key={key}'),
  ]


@pytest.fixture(scope='module')
def process(command):
  """(address, certificate, administrator's token, join code) of a server."""
  options = dict(re.findall(r'--([\w-]+)=(\S+)', ' '.join(command)))
  certificate, port = options['tls-cert'], int(options['port'])
  added = subprocess.run(
    [*command, '--add-device=door'], capture_output=True, text=True, check=True
  ).stdout
  (token,) = re.findall('told this once: (palm_.*)', added)
  address = f'https://127.0.0.1:{port}'
  assert f'--server={address}' in added
  server = subprocess.Popen(
    command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
  )

  def listens():
    with socket.socket() as connection:
      return connection.connect_ex(('127.0.0.1', port)) == 0

  try:
    served.wait_for(listens, seconds=120)
    yield address, certificate, token, added.split()[-1]
  finally:
    server.kill()
    server.wait()


def client(process, **options):
  context = ssl.create_default_context(cafile=str(process[1]))
  return httpx.Client(base_url=process[0], verify=context, **options)


def test_a_device_speaks_to_it(process):
  token, public_key = protocol.read_join_code(process[3])
  assert len(public_key) == 64
  with client(process, headers=served.bearer(token)) as device:
    latest = device.get('/v1/packages/latest')
  assert latest.json()['version'] == 1


def test_the_device_program_trusts_a_certificate_that_it_is_given(
  process, tmp_path
):
  def device(*words):
    return subprocess.run(
      [
        *(
          sys.executable,
          '-m',
          'palmjax.edge.device',
          f'--server={process[0]}',
        ),
        *(f'--store={tmp_path / "palm.db"}', *words),
      ],
      capture_output=True,
      text=True,
      check=False,
    )

  device('join', process[3])
  done = device(f'--certificate={process[1]}', 'sync')
  assert done.returncode == 0, done.stderr
  assert 'a new student is in use' in done.stdout


def test_nobody_speaks_to_it_without_tls_or_with_an_unknown_certificate(
  process,
):
  with pytest.raises(httpx.HTTPError):
    httpx.get(process[0].replace('https', 'http') + '/healthz')
  with pytest.raises(httpx.ConnectError, match='CERTIFICATE'):
    httpx.get(process[0] + '/healthz')


def test_the_cookie_of_the_page_travels_over_tls_alone(process):
  with client(process) as browser:
    answer = browser.post('/login', data={'token': process[2]})
    assert answer.status_code == 303
    assert 'Secure' in answer.headers['set-cookie']
    assert 'door' in browser.get('/').text


def test_a_lost_token_of_the_administrator_is_replaced(process, command):
  """The server runs meanwhile."""
  done = subprocess.run(
    [*command, '--new-admin-token'], capture_output=True, text=True, check=True
  )
  (fresh,) = re.findall('told this once: (palm_.*)', done.stdout)
  with client(process) as administrator:
    for token, status in ((process[2], 401), (fresh, 200)):
      headers = served.bearer(token)
      answer = administrator.get('/v1/devices', headers=headers)
      assert answer.status_code == status

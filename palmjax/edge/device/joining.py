"""Which server a device belongs to: its address, keys and token."""

import json
import os
import ssl
from typing import NamedTuple

import sqlalchemy as sa

from palmjax.edge import protocol
from palmjax.edge.device import client, store, tables

_TOKEN, _PUBLIC, _SERVER = 'token', 'public key', 'server'
_DEFAULT = 'http://127.0.0.1:8443'


class Joined(NamedTuple):
  """What a device knows of its server.

  Attributes:
    url: of the server.
    token: of this device.
    public_key: that packages must be signed with.
    certificate: file to trust, or None.
  """

  url: str
  token: str
  public_key: str
  certificate: str | None


def read_code(device, code, *, url=None, certificate=None):
  """The `Joined` of a code; nothing is kept.

  Args:
    device: `store.Store`.
    code: that the server printed.
    url: of the server; None: the one before, if this device had joined.
    certificate: file to trust; None: the one before, if the url is the same.

  Raises:
    ValueError: the code is none.
  """
  token, public_key = protocol.read_join_code(code)
  with device.session() as session:
    old, trusted = _server(device, session)
  url = url or old
  if certificate:
    # The next command may run in another folder.
    trusted = os.path.abspath(certificate)
  elif url != old:
    trusted = None
  return Joined(url, token, public_key, trusted)


def keep(device, joined):
  """Keeps a `Joined` in the store.

  Under another token the server knows the device as a new one. So references,
  and samples that await their label, are sent again.
  """
  server = json.dumps([joined.url, joined.certificate])
  with device.session() as session:
    old = store.get(device, session, _TOKEN)
    if old not in (None, joined.token.encode()):
      _send_again(device, session)
    store.put(device, session, _SERVER, server.encode())
    store.put(device, session, _PUBLIC, joined.public_key.encode())
    store.put(device, session, _TOKEN, joined.token.encode())


def keep_token(device, token):
  """Keeps another token of the same server."""
  with device.session() as session:
    store.put(device, session, _TOKEN, token.encode())


def kept(device, *, url=None, certificate=None):
  """The `Joined` that the store keeps.

  Args:
    device: `store.Store`.
    url, certificate: in place of the kept ones, unless None.

  Raises:
    ValueError: the device has not joined.
  """
  with device.session() as session:
    secrets = [store.get(device, session, name) for name in (_TOKEN, _PUBLIC)]
    old, trusted = _server(device, session)
  if None in secrets:
    raise ValueError(
      'this device has not joined a server: run `join CODE` with the code that '
      'python -m palmjax.edge.server --add-device=LABEL prints'
    )
  token, public_key = (value.decode() for value in secrets)
  return Joined(url or old, token, public_key, certificate or trusted)


def address(device, session):
  """Address of the server that the device joined; None if it has not."""
  if store.get(device, session, _TOKEN) is None:
    return None
  return _server(device, session)[0]


def connect(joined, *, tries=client.TRIES):
  """The `client.Server` of a `Joined`; it tries each request so often.

  Raises:
    ValueError: the certificate cannot be read.
  """
  verify = True
  if joined.certificate:
    try:
      verify = ssl.create_default_context(cafile=joined.certificate)
    except OSError as error:  # Those of SSL, too.
      raise ValueError(
        f'{joined.certificate} is no certificate that can be read: give '
        '--certificate=FILE'
      ) from error
  return client.Server(joined.url, joined.token, verify=verify, tries=tries)


def _send_again(device, session):
  session.execute(
    sa.update(tables.KeptSample)
    .where(tables.KeptSample.state == tables.WAITING)
    .values(asked=False)
  )
  paths = set(session.scalars(sa.select(tables.Outgoing.path)))
  for row in session.scalars(sa.select(tables.KeptReference)):
    path = f'/v1/references/{row.id}'
    if path not in paths:
      store.send(device, session, 'PUT', path, device.open(row, 'image'))


def _server(device, session):
  """(url, certificate or None), of `keep` or the default."""
  value = store.get(device, session, _SERVER)
  return tuple(json.loads(value)) if value else (_DEFAULT, None)

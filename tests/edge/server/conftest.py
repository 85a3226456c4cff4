"""A running server on SQLite, for the tests of one file."""

import types

import pytest
from starlette import testclient

from palmjax.edge.server import app, service
from tests.edge import served


@pytest.fixture(scope='module')
def export(tmp_path_factory):
  """Folder of a network, teacher and student at once."""
  return served.network(tmp_path_factory.mktemp('network'))


@pytest.fixture(scope='module')
def server(tmp_path_factory, export):
  """A running server, headers of its administrator, and a client."""
  started, token = served.start(
    tmp_path_factory.mktemp('server'),
    export,
    limits=service.Limits(rate=1e6, burst=1e6, waiting=50),
  )
  with testclient.TestClient(app.create(started)) as client:
    yield types.SimpleNamespace(
      service=started, client=client, admin=served.bearer(token)
    )


@pytest.fixture
def device(server):
  """Headers of a fresh device."""
  return served.add_device(server.service)

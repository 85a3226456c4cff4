"""Requests that schemathesis makes up from the server's OpenAPI document."""

import threading
import types

import hypothesis
import pytest
import schemathesis
import uvicorn
from schemathesis.specs.openapi import checks

from palmjax.edge.server import app, service
from tests.edge import served

pytestmark = pytest.mark.slow

LIMITS = service.Limits(rate=1e6, burst=1e6, waiting=10**6)
# The document needs neither a teacher nor a database.
api = schemathesis.openapi.from_dict(
  app.create(types.SimpleNamespace(limits=LIMITS)).openapi()
)


@pytest.fixture(scope='module')
def server(tmp_path_factory, export):
  """Address of a server, and the tokens of its callers."""
  started, token = served.start(
    tmp_path_factory.mktemp('server'),
    export,
    limits=LIMITS,
  )
  config = uvicorn.Config(app.create(started), port=0, log_level='error')
  running = uvicorn.Server(config)
  thread = threading.Thread(target=running.run)
  thread.start()
  served.wait_for(lambda: running.started)
  port = running.servers[0].sockets[0].getsockname()[1]
  yield types.SimpleNamespace(
    address=f'http://127.0.0.1:{port}',
    administrator=served.bearer(token),
    device=served.add_device(started),
  )
  running.should_exit = True
  thread.join()


@api.parametrize()
@hypothesis.settings(
  max_examples=25,
  deadline=None,
  derandomize=True,
  suppress_health_check=list(hypothesis.HealthCheck),
)
def test_the_server_keeps_to_its_document(case, server):
  tags = case.operation.definition.raw['tags']
  case.call_and_validate(
    base_url=server.address,
    headers=server.administrator if 'administrator' in tags else server.device,
    # A schema cannot say which bytes are a palm.
    excluded_checks=(
      [checks.positive_data_acceptance] if case.method == 'PUT' else []
    ),
  )

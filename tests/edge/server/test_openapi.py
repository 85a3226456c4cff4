"""Requests that schemathesis makes up from the server's OpenAPI document."""

import pathlib
import subprocess
import sys
import threading
import types

import pytest
import uvicorn

from palmjax.edge.server import app, service
from tests.edge import served

pytestmark = pytest.mark.slow

COMMAND = pathlib.Path(sys.executable).parent / 'schemathesis'
# What it sends in bodies and queries is checked to be taken or refused as the
# document says. A schema cannot say which bytes are a palm.
UPLOADS = ['--include-method=PUT', '--exclude-checks=positive_data_acceptance']
OTHERS = ['--exclude-method=PUT']


@pytest.fixture(scope='module')
def server(tmp_path_factory, export):
  """Address of a server, and the tokens of its callers."""
  started, token = served.start(
    tmp_path_factory.mktemp('server'),
    export,
    limits=service.Limits(rate=1e6, burst=1e6, waiting=10**6),
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


@pytest.mark.parametrize('seed', [11, 22, 33])
@pytest.mark.parametrize(
  'caller, options',
  [
    ('device', ['--include-tag=device', *UPLOADS]),
    ('device', ['--include-tag=device', *OTHERS]),
    ('administrator', ['--exclude-tag=device', *OTHERS]),
  ],
)
def test_the_server_keeps_to_its_document(
  server, tmp_path, caller, options, seed
):
  (header,) = getattr(server, caller).items()
  done = subprocess.run(
    [
      *(COMMAND, 'run', f'{server.address}/openapi.json'),
      *(f'--header={": ".join(header)}', f'--seed={seed}', '--no-color'),
      *('--phases=examples,coverage,fuzzing', '--max-examples=25'),
      *('--generation-database=none', *options),
    ],
    capture_output=True,
    text=True,
    check=False,
    cwd=tmp_path,
  )
  assert done.returncode == 0, done.stdout

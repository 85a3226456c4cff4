"""A device with a tiny student, for the tests of one file."""

import pytest

from tests.edge import devices


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  """Folder of the student that the server ships."""
  return tmp_path_factory.mktemp('student')


@pytest.fixture(scope='module')
def content(folder):
  """Bytes of a package."""
  return devices.pack(folder)


@pytest.fixture
def device(tmp_path, content):
  """A `store.Store` with the student of the package, and nobody enrolled."""
  return devices.open_(tmp_path, content)

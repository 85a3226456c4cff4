"""A device with a tiny student, for the tests of one file."""

import pytest

from palmjax.edge.device import capture, learning
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


@pytest.fixture
def six_samples(device, monkeypatch):
  """Gives `device` two users with a check each, and six samples.

  An update is two steps.
  """
  monkeypatch.setattr(learning, 'STEPS', 2)
  settings = capture.KeepingRules(interval=(0.0, 0.9999), held=3, enough=4)
  for name, seed in (('Ann', 1), ('Bob', 2)):
    image = devices.palm(seed)
    devices.enrol(device, name, image, devices.near(image, seed))
  student = devices.student(device)
  student = student.__class__(**{**vars(student), 'preset': 0.0})
  for seed in range(6):
    with device.session() as session:
      capture.identify(
        device,
        session,
        student,
        devices.near(devices.palm(1 + seed % 2), seed, amount=30),
        settings,
        float(seed),
      )


@pytest.fixture
def stranger_came(device):
  """Enrols Ann on `device`; then a stranger comes."""
  devices.enrol(device, 'Ann', devices.palm(1))
  devices.identify(
    device, devices.stranger(device, devices.palm(1)), devices.ASKING
  )

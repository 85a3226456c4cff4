"""What goes beside the outbox: reports to the server, packages from it."""

import json

import pytest

from palmjax.edge import package
from palmjax.edge.device import learning, models, store, sync, tables
from tests.edge import devices


@pytest.mark.usefixtures('stranger_came')
def test_reports_tell_what_happened_and_no_names(device, content):
  server = devices.FakeServer(content)
  devices.identify(device, devices.palm(1), devices.ASKING)
  with device.session() as session:
    session.add(
      tables.Trial(
        at='2026-11-29T00:00:00+00:00',
        outcome='refused',
        samples=4,
        before=0.1,
        after=0.2,
      )
    )
  devices.sync_with(device, server)
  ((_, body),) = server.reports.items()
  report = json.loads(body)
  assert (report['attempts'], report['version']) == (1, 1)
  assert report['score_mean'] == pytest.approx(100, abs=1e-3)
  assert report['updates'][0]['outcome'] == 'refused'
  assert b'Ann' not in body
  devices.sync_with(device, server)
  assert len(server.reports) == 1  # Nothing new.


@pytest.mark.usefixtures('stranger_came')
def test_the_report_counts_samples_as_the_labels_leave_them(device, content):
  server = devices.FakeServer(content)
  devices.identify(device, devices.palm(1), devices.ASKING)
  devices.sync_with(device, server)
  ((_, body),) = server.reports.items()
  report = json.loads(body)
  assert (report['kept'], report['waiting']) == (1, 0)


def test_a_package_of_another_server_is_not_installed(tmp_path, content):
  device = store.open_(tmp_path / 'palm.db')
  other = package.public_text(package.load_private(bytes(32)))
  with pytest.raises(package.PackageError, match='not signed by the server'):
    sync.run(
      device, devices.FakeServer(content).client(), other, devices.ASKING, 0.0
    )
  assert models.current(device.folder) is None
  devices.sync_with(device, devices.FakeServer(content))
  assert learning.known_version(device) == 1

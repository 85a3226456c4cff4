"""From captures to samples: claims 1b, 2, 3 and 5a on a real store."""

import numpy as np
import pytest
import sqlalchemy as sa

from palmjax.edge import rules
from palmjax.edge.device import capture, models, tables
from tests.edge import devices


def test_nobody_is_enrolled(device):
  decision = devices.identify(device, devices.palm(1))
  assert decision.name is None
  assert decision.score is None


def test_the_score_is_that_of_the_best_reference(device):
  devices.enrol(device, 'Ann', devices.palm(1))
  devices.enrol(device, 'Bob', devices.palm(2), devices.palm(3))
  probe = devices.near(devices.palm(3), 4)
  network = devices.student(device).network
  references = np.stack([devices.palm(i) for i in (1, 2, 3)])
  cosines = network.embed(references) @ network.embed(probe[None])[0]
  decision = devices.identify(device, probe)
  assert decision.score == pytest.approx(rules.score(cosines.max()), abs=1e-4)
  assert (decision.name == 'Bob') == (decision.score >= decision.preset)


def test_the_preset_is_the_threshold_of_the_impostors(device):
  student = devices.student(device)
  embeddings = student.network.embed(devices.impostors())
  pairs = (embeddings @ embeddings.T)[np.triu_indices(40, 1)]
  passing = np.mean(rules.score(pairs) >= student.preset)
  assert 0 < passing <= devices.FMR
  with pytest.raises(ValueError, match='pairs'):
    models.preset_of(student.network, devices.impostors(), 1e-4)


def _with_preset(device, preset):
  student = devices.student(device)
  return student.__class__(**{**vars(student), 'preset': preset})


def _identify(device, student, image, settings, now=0.0):
  with device.session() as session:
    return capture.identify(device, session, student, image, settings, now)


def test_scores_in_the_first_interval_are_kept_with_their_owner(device):
  """[lo, hi): below it and from hi on nothing is kept (claim 2)."""
  devices.enrol(device, 'Ann', devices.palm(1))
  probe = devices.near(devices.palm(1), 2, amount=30)
  score = devices.identify(device, probe).score
  for preset, interval, kept in (
    (score - 5, (0.0, 0.99), tables.FIRST),
    # lo lies above the score.
    (score - 1e-3, (0.5, 0.99), None),
    # hi lies below it.
    (0.0, (0.0, score / 100 - 0.01), None),
  ):
    student = _with_preset(device, preset)
    settings = capture.KeepingRules(interval=interval, held=2)
    decision = _identify(device, student, probe, settings)
    assert decision.name == 'Ann'
    assert decision.kept == kept
  with devices.rows(device, tables.KeptSample) as rows:
    (row,) = rows
    assert row.state == tables.USABLE
    image = capture.unpack(device.open(row, 'image'), 32)
    np.testing.assert_array_equal(image, probe)


def test_the_last_of_several_failures_is_kept(device):
  """In one session, and a success resets the count (claim 5a)."""
  devices.enrol(device, 'Ann', devices.palm(1))
  student = _with_preset(device, 99.99)
  settings = capture.KeepingRules(
    failures=2, session=60.0, interval=(0.01, 0.02)
  )
  ann = devices.palm(1)
  stranger = devices.stranger(device, ann)
  steps = [
    (stranger, 0.0, None),
    (stranger, 10.0, tables.SECOND),
    (stranger, 20.0, None),
    (ann, 25.0, None),
    (stranger, 30.0, None),
    # A minute later it is another session.
    (stranger, 120.0, None),
    (stranger, 130.0, tables.SECOND),
  ]
  for image, now, kept in steps:
    assert _identify(device, student, image, settings, now).kept == kept, now
  with devices.rows(device, tables.KeptSample) as rows:
    assert [row.state for row in rows] == [tables.WAITING] * 2
    assert all(row.user is None for row in rows)


def test_one_in_so_many_is_held_out(device):
  devices.enrol(device, 'Ann', devices.palm(1))
  student = _with_preset(device, 0.0)
  settings = capture.KeepingRules(interval=(0.0, 0.9999), held=3)
  for seed in range(6):
    probe = devices.near(devices.palm(1), seed, amount=30)
    assert _identify(device, student, probe, settings).kept == tables.FIRST
    # What passes beyond the first interval makes no sample and is not counted,
    # and neither does a report begin the count anew.
    assert _identify(device, student, devices.palm(1), settings).kept is None
    with device.session() as session:
      capture.clear_statistics(device, session)
  with device.session() as session:
    held = session.scalars(
      sa.select(tables.KeptSample.held).order_by(sa.literal_column('rowid'))
    ).all()
  assert held == [False, False, True, False, False, True]


def test_revoked_templates_decide_as_before(device):
  devices.enrol(device, 'Ann', devices.palm(1))
  probe = devices.near(devices.palm(1), 2)

  def values():
    with devices.rows(device, tables.KeptTemplate) as rows:
      return [device.open(row, 'value') for row in rows]

  before, old = devices.identify(device, probe), values()
  with device.session() as session:
    capture.revoke_templates(device, session, devices.student(device))
  after = devices.identify(device, probe)
  assert after.score == pytest.approx(before.score, abs=1e-4)
  one, two = (np.frombuffer(x[0], np.float32) for x in (old, values()))
  assert abs(one @ two) < 0.99
  # They are templates, not embeddings.
  embedding = devices.student(device).network.embed(devices.palm(1)[None])[0]
  assert np.abs(two - embedding).max() > 1e-3

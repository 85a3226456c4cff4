import numpy as np
import pytest

from palmjax.data.sets import protocols, splits

# 40 people; palm 2p is the left and 2p + 1 the right one of person p; three
# images in each of two sessions.
_LABELS = np.repeat(np.arange(80), 6)
_PERSONS = np.array([f'p{label // 2:03}' for label in _LABELS])
_SESSIONS = np.tile([1, 1, 1, 2, 2, 2], 80)


@pytest.mark.parametrize('share, people', [(0.5, (20, 20)), (0.75, (10, 30))])
def test_protocols_combine(share, people):
  """Identity-disjoint 1:1 and 1:3, then cross-session."""
  split = splits.by_identity(_LABELS, seed=3, evaluation=share, groups=_PERSONS)
  train, test = split.train, split.evaluation
  assert (len({*_PERSONS[train]}), len({*_PERSONS[test]})) == people
  across = protocols.cross_session(
    _LABELS[test], _SESSIONS[test], gallery=1, probe=2
  )
  gallery, probe = test[across.gallery], test[across.probe]
  assert len(gallery) == len(probe) == people[1] * 2 * 3
  assert set(_SESSIONS[gallery]) == {1}
  assert set(_SESSIONS[probe]) == {2}
  assert not set(_PERSONS[gallery]) & set(_PERSONS[train])


def test_gallery_and_probe_are_of_their_sessions():
  across = protocols.cross_session(_LABELS, _SESSIONS, gallery=2, probe=1)
  np.testing.assert_array_equal(across.gallery, np.flatnonzero(_SESSIONS == 2))
  np.testing.assert_array_equal(across.probe, np.flatnonzero(_SESSIONS == 1))


def test_palms_of_one_session_are_left_out():
  labels = [0, 0, 1, 2, 2, 3, 3, 4]
  sessions = [1, 2, 1, 1, 2, 2, 3, 2]
  across = protocols.cross_session(labels, sessions, gallery=1, probe=2)
  assert across.gallery.tolist() == [0, 3]
  assert across.probe.tolist() == [1, 4]
  assert across.gallery.dtype == across.probe.dtype == np.int64


def test_devices_make_it_cross_device():
  devices = np.array(['huawei', 'xiaomi'] * 2)
  across = protocols.cross_session(
    [0, 0, 1, 1], devices, gallery='huawei', probe='xiaomi'
  )
  assert across.gallery.tolist() == [0, 2]
  assert across.probe.tolist() == [1, 3]


@pytest.mark.parametrize(
  'gallery, probe, message',
  [
    (1, 1, 'both of session 1; give two'),
    (1, 3, r'no image of session 3; there are \[1, 2\]'),
    (-1, 2, r'no image of session -1'),
  ],
)
def test_sessions_that_cannot_be_compared(gallery, probe, message):
  with pytest.raises(ValueError, match=message):
    protocols.cross_session(_LABELS, _SESSIONS, gallery=gallery, probe=probe)


def test_too_few_palms_across_and_lengths_that_differ():
  with pytest.raises(ValueError, match='1 palms are in both sessions'):
    protocols.cross_session([0, 0, 1, 2], [1, 2, 1, 2], gallery=1, probe=2)
  with pytest.raises(ValueError, match='two vectors of one length'):
    protocols.cross_session([0, 0, 1], [1, 2], gallery=1, probe=2)


@pytest.mark.parametrize(
  'labels, sessions, known, gallery, probe',
  [
    ([0, 0, 1, 1, 1], [1, 2, 1, 2, 1], [0, 1, 2, 3, 4], [0, 2, 4], [1, 3]),
    ([0, 0, 0, 1, 1], [1, 2, 3, 1, 3], [0, 1, 2, 3, 4], [0, 3], [2, 4]),
    ([0, 0, 1, 1, 1], [1, 2, 1, 2, -1], [0, 1, 2, 3], [0, 2], [1, 3]),
  ],
)
def test_first_and_last_session(labels, sessions, known, gallery, probe):
  crossing = protocols.across(labels, sessions, unknown=-1)
  assert crossing.known.tolist() == known
  assert crossing.first_last.gallery.tolist() == gallery
  assert crossing.first_last.probe.tolist() == probe


def test_pairs_across_sessions_of_which_none_has_two_palms():
  crossing = protocols.across(
    [0, 0, 1, 1, 1], ['a', 'b', 'a', 'a', ''], unknown=''
  )
  assert crossing.known.tolist() == [0, 1, 2, 3]
  assert crossing.first_last is None


@pytest.mark.parametrize(
  'labels, sessions',
  [
    ([0, 0, 1, 1], [-1, -1, -1, -1]),
    ([0, 0, 1, 1], [-1, 1, -1, 1]),  # One session, as it seems.
    ([0, 0, 1, 1], [1, 1, 2, 2]),  # Nobody came twice.
    ([0, 0, 1, 1], [1, 2, -1, -1]),  # Nobody to compare with.
  ],
)
def test_nothing_across_sessions(labels, sessions):
  assert protocols.across(labels, sessions, unknown=-1) is None


def test_numbers_of_devices_are_never_unknown_names():
  crossing = protocols.across([0, 0, 1, 1], [0, 1, 0, 1], unknown='')
  assert crossing.known.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
  'devices, same',
  [
    (['x', 'x', 'y', 'y'], True),
    (['x', 'x', 'x', 'x'], False),
    (['x', 'y', 'x', 'y'], False),
    (['x', 'x', 'y', 'z'], False),
  ],
)
def test_devices_that_tell_what_sessions_tell(devices, same):
  sessions = np.array([1, 1, 2, 2])
  assert protocols.same_parts(sessions, np.array(devices)) == same

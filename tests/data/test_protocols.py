import numpy as np
import pytest

from palmjax.data import protocols

# 40 people; palm 2p is the left and 2p + 1 the right one of person p; three
# images in each of two sessions.
_LABELS = np.repeat(np.arange(80), 6)
_PERSONS = np.array([f'p{label // 2:03}' for label in _LABELS])
_SESSIONS = np.tile([1, 1, 1, 2, 2, 2], 80)


@pytest.mark.parametrize(
  'ratio, people', [('1:1', (20, 20)), ('1:3', (10, 30))]
)
def test_people_are_on_one_side_in_the_ratio(ratio, people):
  split = protocols.identity_disjoint(_LABELS, _PERSONS, ratio=ratio, seed=0)
  train = set(_PERSONS[split.train])
  test = set(_PERSONS[split.evaluation])
  assert (len(train), len(test)) == people
  assert not train & test
  assert len(split.validation) == 0
  both = np.concatenate([split.train, split.evaluation])
  np.testing.assert_array_equal(np.sort(both), np.arange(480))


def test_split_follows_the_seed_and_not_the_order():
  def people(seed, order):
    split = protocols.identity_disjoint(
      _LABELS[order], _PERSONS[order], ratio='1:1', seed=seed
    )
    return set(_PERSONS[order][split.train])

  order = np.arange(480)
  shuffled = np.random.default_rng(0).permutation(480)
  assert people(0, order) == people(0, shuffled)
  assert people(0, order) != people(1, order)


def test_a_palm_of_two_people_and_an_unknown_ratio():
  with pytest.raises(ValueError, match='two groups'):
    protocols.identity_disjoint(
      [0, 0, 1, 2], ['a', 'b', 'c', 'd'], ratio='1:1', seed=0
    )
  with pytest.raises(
    ValueError, match=r"no ratio '2:1'; choose one of \['1:1'"
  ):
    protocols.identity_disjoint(_LABELS, _PERSONS, ratio='2:1', seed=0)


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


def test_protocols_combine_as_the_module_says():
  split = protocols.identity_disjoint(_LABELS, _PERSONS, ratio='1:3', seed=3)
  test = split.evaluation
  across = protocols.cross_session(
    _LABELS[test], _SESSIONS[test], gallery=1, probe=2
  )
  gallery, probe = test[across.gallery], test[across.probe]
  assert len(gallery) == len(probe) == 30 * 2 * 3
  assert set(_SESSIONS[gallery]) == {1}
  assert set(_SESSIONS[probe]) == {2}
  assert not set(_PERSONS[gallery]) & set(_PERSONS[split.train])


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


def test_cross_set_leaves_the_other_sets_out():
  sets = ['iitd', 'tongji', 'casia', 'tongji', 'iitd']
  split = protocols.cross_set(sets, train='tongji', test='iitd')
  assert split.train.tolist() == [1, 3]
  assert split.evaluation.tolist() == [0, 4]
  assert split.validation.tolist() == []
  with pytest.raises(ValueError, match="both 'iitd'"):
    protocols.cross_set(sets, train='iitd', test='iitd')
  with pytest.raises(ValueError, match=r"set 'mpd'; there are \['casia', 'i"):
    protocols.cross_set(sets, train='tongji', test='mpd')

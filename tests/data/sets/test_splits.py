import numpy as np
import pytest

from palmjax.data.sets import splits


def _labels(identities, images, seed=0):
  labels = np.repeat(np.arange(identities), images)
  return np.random.default_rng(seed).permutation(labels)


@pytest.mark.parametrize('seed', range(5))
@pytest.mark.parametrize(
  'evaluation, validation', [(0.5, 0), (10, 4), (0.2, 0.3), (0.25, 5)]
)
def test_parts_are_disjoint_and_complete(seed, evaluation, validation):
  labels = _labels(40, 3, seed)
  split = splits.by_identity(
    labels, seed=seed, evaluation=evaluation, validation=validation
  )
  parts = [split.train, split.validation, split.evaluation]
  np.testing.assert_array_equal(
    np.sort(np.concatenate(parts)), np.arange(len(labels))
  )
  identities = [set(labels[part].tolist()) for part in parts]
  assert not identities[0] & identities[1]
  assert not identities[0] & identities[2]
  assert not identities[1] & identities[2]
  for wanted, members in zip(
    (validation, evaluation), identities[1:], strict=True
  ):
    assert len(members) == (round(wanted * 40) if wanted < 1 else wanted)


def test_golden_split():
  # Changing the ranking changes every published number: on purpose only.
  split = splits.by_identity(np.arange(10), seed=0, evaluation=3)
  assert split.evaluation.tolist() == [1, 2, 5]
  chosen = splits.budget(
    np.repeat(np.arange(6), 4), identities=2, images=2, seed=0
  )
  assert chosen.tolist() == [12, 14, 17, 18]


@pytest.mark.parametrize('seed', range(5))
def test_groups_stay_on_one_side(seed):
  labels = _labels(40, 3, seed)
  split = splits.by_identity(
    labels, seed=seed, evaluation=0.5, groups=labels // 2
  )
  left = set((labels[split.train] // 2).tolist())
  right = set((labels[split.evaluation] // 2).tolist())
  assert not left & right
  assert len(left) == len(right) == 10


def test_odd_counts_take_a_whole_group_more():
  labels = np.arange(40)
  split = splits.by_identity(labels, seed=0, evaluation=5, groups=labels // 2)
  assert len(split.evaluation) == 6


def test_groups_by_name_ignore_the_numbering():
  names = np.array([f'hand{i:02}' for i in range(30)])
  order = np.random.default_rng(1).permutation(30)
  a = splits.by_identity(np.arange(30), seed=0, evaluation=9, groups=names)
  b = splits.by_identity(
    np.arange(30), seed=0, evaluation=9, groups=names[order]
  )
  assert set(names[a.evaluation]) == set(names[order][b.evaluation])


def test_new_identities_displace_no_more_than_they_are():
  before = splits.by_identity(np.arange(50), seed=0, evaluation=20)
  after = splits.by_identity(np.arange(53), seed=0, evaluation=20)
  old, new = set(before.evaluation.tolist()), set(after.evaluation.tolist())
  assert len(old - new) <= 3
  assert all(identity >= 50 for identity in new - old)


def test_seeds_differ_and_repeat():
  labels = np.arange(60)

  def chosen(seed):
    split = splits.by_identity(labels, seed=seed, evaluation=30)
    return tuple(split.evaluation.tolist())

  assert chosen(1) == chosen(1)
  assert len({chosen(seed) for seed in range(10)}) == 10
  # Each identity is drawn about as often as any other: 200 draws of 1/2.
  counts = np.bincount(np.concatenate([chosen(s) for s in range(200)]))
  assert counts.min() > 65
  assert counts.max() < 135


def test_identity_in_two_groups():
  with pytest.raises(ValueError, match='identity 1 lies in two groups'):
    splits.by_identity([0, 1, 1, 2], seed=0, evaluation=1, groups=[0, 0, 1, 1])


@pytest.mark.parametrize(
  'total, evaluation, validation, message',
  [
    (
      *(3, 0.5, 0),
      '^of 3 identities there are 2 for evaluation and 1 for train; each part '
      'needs 2 or more: add identities, 4 or more are needed$',
    ),
    (5, 2, 1, '1 for validation and 2 for train; .* 6 or more are needed$'),
    (10, 10, 0, '10 for evaluation and 0 for train; .*: change the share, or'),
    (10, 1, 0, '1 for evaluation and 9 for train'),
    (10, 4, 1, '4 for evaluation, 1 for validation and 5 for train'),
    (10, 1.5, 0, 'evaluation share is 1.5'),
    (10, -1, 0, '-1 evaluation identities'),
    (10, 0.5, float('nan'), 'validation share is nan'),
  ],
)
def test_impossible_splits(total, evaluation, validation, message):
  with pytest.raises(ValueError, match=message) as caught:
    splits.by_identity(
      np.arange(total), seed=0, evaluation=evaluation, validation=validation
    )
  assert '\n' not in str(caught.value)


@pytest.mark.parametrize('seed', range(5))
def test_budget(seed):
  labels = _labels(20, 5, seed)
  chosen = splits.budget(labels, identities=7, images=3, seed=seed)
  assert len(set(chosen.tolist())) == 21
  assert (np.diff(chosen) > 0).all()
  names, counts = np.unique(labels[chosen], return_counts=True)
  assert len(names) == 7
  assert (counts == 3).all()


def test_budgets_nest():
  labels = _labels(20, 6)
  small = splits.budget(labels, identities=5, images=2, seed=3)
  more_images = splits.budget(labels, identities=5, images=4, seed=3)
  more_identities = splits.budget(labels, identities=9, images=2, seed=3)
  assert set(small) < set(more_images)
  assert set(small) < set(more_identities)


def test_budget_passes_over_small_identities():
  labels = np.array([0] * 4 + [1] * 2 + [2] * 4 + [3] * 4)
  for seed in range(5):
    chosen = splits.budget(labels, identities=3, images=4, seed=seed)
    assert set(labels[chosen].tolist()) == {0, 2, 3}


@pytest.mark.parametrize(
  'identities, images, message',
  [
    (5, 1, 'asks for 5 identities, but the training part has 4; lower'),
    (3, 5, r'only 1 have that many; lower `images` to 4 or'),
    (4, 3, 'lower `images` to 2 or `identities` to 3'),
    (0, 1, 'empty; set'),
    (1, 0, 'empty; set'),
  ],
)
def test_budget_that_the_data_cannot_meet(identities, images, message):
  labels = np.array([0] * 4 + [1] * 2 + [2] * 4 + [3] * 6)
  with pytest.raises(ValueError, match=message) as caught:
    splits.budget(labels, identities=identities, images=images, seed=0)
  assert '\n' not in str(caught.value)


def test_the_advice_of_the_message_works():
  labels = np.array([0] * 4 + [1] * 2 + [2] * 4 + [3] * 6)
  splits.budget(labels, identities=4, images=2, seed=0)
  splits.budget(labels, identities=3, images=3, seed=0)


def test_dense():
  labels, names = splits.dense([7, 3, 7, 90])
  np.testing.assert_array_equal(labels, [1, 0, 1, 2])
  np.testing.assert_array_equal(names, [3, 7, 90])
  assert labels.dtype == np.int32


def test_groups_whose_names_are_not_utf_8():
  labels = _labels(6, 2)
  names = np.array([f'\udce9{k}' for k in range(6)])
  split = splits.by_identity(labels, seed=0, evaluation=2, groups=names[labels])
  assert len(np.unique(labels[split.evaluation])) == 2

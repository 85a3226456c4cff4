import itertools

import chex
import jax
import numpy as np
import pytest

from palmjax.data import streams
from tests import compilations


def _set(size):
  labels = np.arange(size, dtype=np.int32)
  images = np.broadcast_to(
    labels[:, None, None, None].astype(np.uint8), (size, 4, 4, 3)
  )
  return streams.DeviceSet({'image': images, 'label': labels})


def _labels(batches, start, count):
  return [
    np.asarray(batch['label'])
    for batch in itertools.islice(batches(start), count)
  ]


class _Source:
  def __init__(self, size):
    self._size = size

  def __len__(self):
    return self._size

  def __getitem__(self, index):
    return {
      'image': np.full((4, 4, 3), index, np.uint8),
      'label': np.int32(index),
    }


def _device_stream(size, batch_size, seed):
  return _set(size).batches(batch_size, seed=seed)


def _grain_stream(size, batch_size, seed):
  return streams.grain_batches(_Source(size), batch_size, seed=seed)


_STREAMS = pytest.mark.parametrize('stream', [_device_stream, _grain_stream])


@_STREAMS
@pytest.mark.parametrize('size, batch_size', [(37, 8), (5, 8), (24, 8)])
def test_any_start_continues_the_stream_exactly(stream, size, batch_size):
  whole = _labels(stream(size, batch_size, 3), 0, 14)
  for start in (1, 4, 9):
    # A new stream, as in a new process.
    resumed = _labels(stream(size, batch_size, 3), start, 5)
    np.testing.assert_array_equal(resumed, whole[start : start + 5])


@_STREAMS
@pytest.mark.parametrize('size, batch_size', [(12, 8), (5, 8), (3, 7)])
def test_every_epoch_is_a_new_permutation(stream, size, batch_size):
  # Four epochs at least, cut out of the batches.
  count = -(-4 * size // batch_size)
  flat = np.concatenate(_labels(stream(size, batch_size, 0), 0, count))
  epochs = flat[: 4 * size].reshape(4, size)
  for epoch in epochs:
    np.testing.assert_array_equal(np.sort(epoch), np.arange(size))
  assert len({tuple(epoch) for epoch in epochs.tolist()}) > 1


@_STREAMS
def test_seeds_give_different_orders(stream):
  orders = {tuple(_labels(stream(20, 20, seed), 0, 1)[0]) for seed in range(5)}
  assert len(orders) == 5


@_STREAMS
def test_images_stay_with_their_labels(stream):
  batch = next(stream(30, 16, 0)(2))
  assert batch['image'].shape == (16, 4, 4, 3)
  assert batch['image'].dtype == np.uint8
  assert batch['label'].dtype == np.int32
  assert isinstance(batch['image'], jax.Array)
  np.testing.assert_array_equal(batch['image'][:, 1, 2, 0], batch['label'])


def test_batch_indices_are_those_of_the_permutations():
  size, batch_size, seed = 10, 4, 7
  order = np.concatenate(
    [
      np.random.default_rng([seed, epoch]).permutation(size)
      for epoch in range(3)
    ]
  )
  for step in range(7):
    np.testing.assert_array_equal(
      streams.batch_indices(size, batch_size=batch_size, seed=seed, step=step),
      order[step * batch_size :][:batch_size],
    )


def test_gathering_compiles_once():
  stream = _set(11).batches(4, seed=0)(0)
  with compilations.counted() as programs:
    next(stream)
    assert len(programs) == 1
    for _ in range(7):
      next(stream)
  assert len(programs) == 1


def test_the_set_is_a_copy():
  # JAX on CPU borrows NumPy buffers that start at a multiple of 64 bytes.
  buffer = np.zeros(4096 + 16, np.int32)
  labels = buffer[-(buffer.ctypes.data // 4) % 16 :][:4096]
  labels[:] = np.arange(4096)
  data = streams.DeviceSet({'label': labels})
  labels[:] = -1
  np.testing.assert_array_equal(data.arrays['label'], np.arange(4096))


def test_sharded_batches():
  # One device, or four where the run has them (XLA_FLAGS).
  devices = jax.devices()[: 4 if jax.device_count() >= 4 else 1]
  mesh = jax.sharding.Mesh(np.array(devices), ('data',))
  sharding = jax.sharding.NamedSharding(
    mesh, jax.sharding.PartitionSpec('data')
  )
  arrays = {'label': np.arange(9, dtype=np.int32)}
  plain = streams.DeviceSet(arrays).batches(4, seed=0)
  data = streams.DeviceSet(arrays, sharding=sharding)
  sharded = data.batches(4, seed=0)
  batch = next(sharded(0))
  assert batch['label'].sharding == sharding
  np.testing.assert_array_equal(_labels(sharded, 0, 5), _labels(plain, 0, 5))

  streamed = streams.grain_batches(_Source(9), 4, seed=0, sharding=sharding)
  assert next(streamed(0))['image'].sharding == sharding


@pytest.mark.parametrize(
  'arrays', [{'image': np.zeros((0, 2))}, {'a': np.ones(2), 'b': np.ones(3)}]
)
def test_unfit_arrays(arrays):
  with pytest.raises(ValueError, match='arrays of one length above 0'):
    streams.DeviceSet(arrays)


def test_empty_source():
  with pytest.raises(ValueError, match='without examples'):
    streams.grain_batches(_Source(0), 4, seed=0)


def _members(counts):
  """Examples of identities with so many images, labels 0, 10, 20, …"""
  labels = np.repeat(10 * np.arange(len(counts)), counts)
  labels = np.random.default_rng(1).permutation(labels)
  return labels, streams.members_of(labels)


def _pk(members, step, *, identities=3, images=4, seed=0):
  return streams.identity_indices(
    members, identities=identities, images=images, seed=seed, step=step
  )


def test_members():
  labels, members = _members([3, 1, 5])
  for number, indices in enumerate(members):
    np.testing.assert_array_equal(indices, np.nonzero(labels == 10 * number)[0])


def test_identity_batches_have_p_identities_with_k_images_each():
  labels, members = _members([9, 4, 6, 8, 5, 4, 7])
  for step in range(20):
    indices = _pk(members, step)
    assert indices.dtype == np.int32
    assert len(set(indices.tolist())) == 12
    rows = labels[indices].reshape(3, 4)
    np.testing.assert_array_equal(rows, rows[:, :1].repeat(4, axis=1))
    assert len(set(rows[:, 0].tolist())) == 3


def test_every_epoch_has_each_identity_at_most_once():
  labels, members = _members([4] * 7)
  counts = []
  for epoch in range(12):
    # Two batches of three; one identity of the seven sits out.
    seen = np.concatenate([_pk(members, 2 * epoch + i)[::4] for i in (0, 1)])
    assert len(set(seen.tolist())) == len(set(labels[seen].tolist())) == 6
    counts.append(np.bincount(labels[seen] // 10, minlength=7))
  assert len({tuple(row) for row in np.array(counts).tolist()}) > 3


def test_images_of_an_identity_are_dealt_before_any_comes_again():
  _, members = _members([6, 7])
  for identity, used in ((0, 6), (1, 6)):
    for deal in range(4):
      three = [
        _pk(members, 3 * deal + i, identities=2, images=2) for i in range(3)
      ]
      drawn = np.intersect1d(np.concatenate(three), members[identity])
      assert len(drawn) == used
  # An image that sat out in one deal comes in another.
  drawn = [_pk(members, step, identities=2, images=2) for step in range(30)]
  np.testing.assert_array_equal(np.unique(drawn), np.arange(13))


def test_identities_with_few_images_repeat_them_evenly():
  _, members = _members([2, 1, 3])
  for step in range(6):
    indices, counts = np.unique(_pk(members, step), return_counts=True)
    times = dict(zip(indices.tolist(), counts.tolist(), strict=True))
    got = [sorted(times.get(i, 0) for i in one.tolist()) for one in members]
    assert got == [[2, 2], [4], [1, 1, 2]]


def test_identity_batches_resume_and_depend_on_the_seed():
  labels, _ = _members([5] * 8)
  # With indices for labels' companions: what a batch holds shows.
  arrays = {'label': labels, 'index': np.arange(40)}

  def drawn(start, count, seed):
    data = streams.DeviceSet(arrays)
    batches = data.identity_batches(3, 2, seed=seed)(start)
    return [
      (np.asarray(batch['label']), np.asarray(batch['index']))
      for batch in itertools.islice(batches, count)
    ]

  whole = drawn(0, 12, 3)
  for start in (1, 5):
    chex.assert_trees_all_equal(drawn(start, 6, 3), whole[start : start + 6])
  for label, index in whole:
    np.testing.assert_array_equal(label, labels[index])
  first = {tuple(drawn(0, 1, seed)[0][1].tolist()) for seed in range(5)}
  assert len(first) == 5


def test_more_identities_in_a_batch_than_in_the_set():
  data = streams.DeviceSet({'label': np.array([0, 0, 1, 1])})
  with pytest.raises(ValueError, match='3 identities in a batch, but the set'):
    data.identity_batches(3, 2, seed=0)


def test_merged_streams_keep_their_own_sizes_and_orders():
  labelled = _set(10).batches(4, seed=0)
  generated = streams.DeviceSet({'soft': np.eye(50, dtype=np.float32)}).batches(
    6, seed=1
  )
  merged = streams.merge(labelled, generated)
  for start in (0, 3):
    for both, left, right in itertools.islice(
      zip(merged(start), labelled(start), generated(start), strict=False), 4
    ):
      assert both['label'].shape == (4,)
      assert both['soft'].shape == (6, 50)
      chex.assert_trees_all_equal(both, left | right)


def test_merged_streams_with_one_name_twice():
  stream = _set(10).batches(4, seed=0)
  with pytest.raises(ValueError, match=r"two streams yield \['image', 'label'"):
    next(streams.merge(stream, stream)(0))


def test_seed_of_key():
  seeds = [streams.seed_of(jax.random.key(i)) for i in range(50)]
  assert len(set(seeds)) == 50
  assert all(0 <= seed < 2**31 for seed in seeds)
  assert seeds[3] == streams.seed_of(jax.random.key(3))


@pytest.mark.parametrize('start', range(7))
def test_a_batch_comes_several_times_from_any_start(start):
  def once(first):
    return iter(range(first, 100))

  stream = streams.repeated(once, 3)(start)
  steps = [next(stream) for _ in range(8)]
  assert steps == [step // 3 for step in range(start, start + 8)]
  assert streams.repeated(once, 1) is once

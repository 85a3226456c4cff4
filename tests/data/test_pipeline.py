import itertools

import chex
import jax
import numpy as np
import pytest

from palmjax.data import pipeline


def _set(size):
  labels = np.arange(size, dtype=np.int32)
  images = np.broadcast_to(
    labels[:, None, None, None].astype(np.uint8), (size, 4, 4, 3)
  )
  return pipeline.DeviceSet({'image': images, 'label': labels})


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
  return pipeline.grain_batches(_Source(size), batch_size, seed=seed)


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
      pipeline.batch_indices(size, batch_size=batch_size, seed=seed, step=step),
      order[step * batch_size :][:batch_size],
    )


def test_gathering_compiles_once(monkeypatch):
  counted = chex.assert_max_traces(pipeline._take, n=1)
  monkeypatch.setattr(pipeline, '_take', counted)
  _labels(_set(11).batches(4, seed=0), 0, 8)


def test_the_set_is_a_copy():
  # JAX on CPU borrows NumPy buffers that start at a multiple of 64 bytes.
  buffer = np.zeros(4096 + 16, np.int32)
  labels = buffer[-(buffer.ctypes.data // 4) % 16 :][:4096]
  labels[:] = np.arange(4096)
  data = pipeline.DeviceSet({'label': labels})
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
  plain = pipeline.DeviceSet(arrays).batches(4, seed=0)
  data = pipeline.DeviceSet(arrays, sharding=sharding)
  sharded = data.batches(4, seed=0)
  batch = next(sharded(0))
  assert batch['label'].sharding == sharding
  np.testing.assert_array_equal(_labels(sharded, 0, 5), _labels(plain, 0, 5))

  streamed = pipeline.grain_batches(_Source(9), 4, seed=0, sharding=sharding)
  assert next(streamed(0))['image'].sharding == sharding


@pytest.mark.parametrize(
  'arrays', [{'image': np.zeros((0, 2))}, {'a': np.ones(2), 'b': np.ones(3)}]
)
def test_unfit_arrays(arrays):
  with pytest.raises(ValueError, match='arrays of one length above 0'):
    pipeline.DeviceSet(arrays)


def test_empty_source():
  with pytest.raises(ValueError, match='without examples'):
    pipeline.grain_batches(_Source(0), 4, seed=0)


def test_merged_streams_keep_their_own_sizes_and_orders():
  labelled = _set(10).batches(4, seed=0)
  generated = pipeline.DeviceSet(
    {'soft': np.eye(50, dtype=np.float32)}
  ).batches(6, seed=1)
  merged = pipeline.merge(labelled, generated)
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
    next(pipeline.merge(stream, stream)(0))


def test_seed_of_key():
  seeds = [pipeline.seed_of(jax.random.key(i)) for i in range(50)]
  assert len(set(seeds)) == 50
  assert all(0 <= seed < 2**31 for seed in seeds)
  assert seeds[3] == pipeline.seed_of(jax.random.key(3))

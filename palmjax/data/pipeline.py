"""Endless streams of batches that start at any step: `batches(start)`.

A stream is a function `batches(start)` that returns an iterator whose first
item is the batch of step `start`. What a step gets is a function of (seed,
step) alone, so a run that resumes at a checkpoint needs no iterator state.

Order: the examples of epoch e follow a permutation drawn from (seed, e); the
epochs are laid end to end and cut into batches. No example is dropped, every
one is used equally often, and a set smaller than the batch works.
"""

import functools
import itertools

import grain
import jax
import jax.numpy as jnp
import numpy as np


class DeviceSet:
  """A small data set that lives on the device and is gathered there.

  Attributes:
    size: number of examples.
    arrays: the arrays on the device.
  """

  def __init__(self, arrays, *, sharding=None):
    """Copies the arrays to the device, whole on each device of a mesh.

    Args:
      arrays: {name: array [N, ...]}, images as uint8: at 64 px 1,000 of them
        take 12 MB.
      sharding: `NamedSharding` of the batches, e.g. over the first axis; None
        leaves all to the default device.

    Raises:
      ValueError: no examples, or arrays of different lengths.
    """
    lengths = {name: len(array) for name, array in arrays.items()}
    if len(set(lengths.values())) != 1 or 0 in lengths.values():
      raise ValueError(
        f'a data set needs arrays of one length above 0, not {lengths}'
      )
    self.size = next(iter(lengths.values()))
    whole = None
    if sharding is not None:
      whole = jax.sharding.NamedSharding(
        sharding.mesh, jax.sharding.PartitionSpec()
      )
    # `jnp.array`: device_put alone would borrow the buffers of NumPy arrays.
    self.arrays = jax.device_put(
      {name: jnp.array(array) for name, array in arrays.items()}, whole
    )
    # The arrays are an argument: closed over, they would be baked into the
    # compiled program.
    self._gather = jax.jit(_take, out_shardings=sharding)

  def batches(self, batch_size, *, seed):
    """Returns the stream of {name: array [batch_size, ...]} on the device."""

    def start_at(start):
      for step in itertools.count(start):
        indices = batch_indices(
          self.size, batch_size=batch_size, seed=seed, step=step
        )
        yield self._gather(self.arrays, indices)

    return start_at


def seed_of(key):
  """An int in [0, 2³¹) from a jax random key, for the streams of this module.

  Fold a constant into a key that is also used elsewhere.
  """
  return int(jax.random.bits(key, dtype='uint32') >> 1)


def batch_indices(size, *, batch_size, seed, step):
  """Which examples step `step` gets: int32 [batch_size]."""
  positions = step * batch_size + np.arange(batch_size)
  epochs, within = np.divmod(positions, size)
  return np.concatenate(
    [
      _permutation(size, seed, int(epoch))[within[epochs == epoch]]
      for epoch in np.unique(epochs)
    ]
  )


def merge(*streams):
  """Joins streams: step by step the union of their batches.

  The streams keep their own batch sizes and orders; it is how a batch gets
  labelled images ('image', 'label') and generated ones ('generated', 'soft').

  Args:
    *streams: functions batches(start) whose batches share no name.

  Returns:
    batches(start).

  Raises:
    ValueError: on the first batch, if two streams use one name.
  """

  def start_at(start):
    for parts in zip(*(stream(start) for stream in streams), strict=True):
      batch = {}
      for part in parts:
        if batch.keys() & part.keys():
          raise ValueError(
            f'two streams yield {sorted(batch.keys() & part.keys())}'
          )
        batch |= part
      yield batch

  return start_at


def grain_batches(source, batch_size, *, seed, sharding=None):
  """The stream of a data source that does not fit on the device.

  Examples are read and decoded by grain's threads ahead of the step.

  Args:
    source: has `__len__` and `__getitem__(int) -> {name: array}`, numbers
      only, e.g. `prepare.Source`.
    batch_size: examples in a batch; the stream runs over epochs, each with a
      permutation of its own. A batch may straddle two.
    seed: int.
    sharding: where the batches go; None is the default device.

  Returns:
    batches(start), batches {name: array [batch_size, ...]} on the device.
  """
  if len(source) == 0:
    raise ValueError('a data source without examples')
  dataset = (
    grain.MapDataset.source(source)
    .seed(seed)
    .shuffle()
    .repeat()
    .batch(batch_size)
    .to_iter_dataset(
      grain.ReadOptions(num_threads=4, prefetch_buffer_size=2 * batch_size)
    )
  )

  def start_at(start):
    iterator = iter(dataset)
    # After .batch(), an element is a batch (DESIGN §6): one a step.
    iterator.set_state({'next_index': start})
    for batch in iterator:
      yield jax.device_put(batch, sharding)

  return start_at


def _take(arrays, indices):
  return jax.tree.map(lambda array: array[indices], arrays)


@functools.lru_cache(maxsize=8)
def _permutation(size, seed, epoch):
  order = np.random.default_rng([seed, epoch]).permutation(size)
  return order.astype(np.int32)

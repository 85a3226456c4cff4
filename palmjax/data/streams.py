"""Endless streams of batches that start at any step: `batches(start)`.

A stream is a function `batches(start)` that returns an iterator whose first
item is the batch of step `start`. What a step gets is a function of (seed,
step) alone, so a run that resumes at a checkpoint needs no iterator state.

Order: the examples of epoch e follow a permutation drawn from (seed, e); the
epochs are laid end to end and cut into batches. No example is dropped, every
one is used equally often, and a set smaller than the batch works.

Batches of P identities with K images each, which triplets need, keep to the
same rule: `identity_indices`.
A batch has the same rows however many processes train. Each process gathers or
reads the rows of its devices alone, a block of the batch (`engine.mesh`).
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
    self.arrays = {
      name: _put_whole(array, sharding) for name, array in arrays.items()
    }
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

  def identity_batches(self, identities, images, *, seed):
    """Returns the stream of batches of P identities with K images each.

    Args:
      identities: P, identities in a batch.
      images: K, images of each.
      seed: int.

    Returns:
      batches(start), batches {name: array [P * K, ...]} on the device, the
      images of one identity ('label') side by side.

    Raises:
      ValueError: fewer than P identities.
    """
    members = members_of(self.arrays['label'])
    _check_identities(members, identities)

    def start_at(start):
      for step in itertools.count(start):
        indices = identity_indices(
          members, identities=identities, images=images, seed=seed, step=step
        )
        yield self._gather(self.arrays, indices)

    return start_at


def repeated(batches, times):
  """A stream that gives each batch of another one several times in a row.

  Args:
    batches: start → iterator.
    times: 1 or more.

  Returns:
    batches(start) → iterator.
  """

  def start_at(start):
    first, done = divmod(start, times)
    for batch in batches(first):
      yield from itertools.repeat(batch, times - done)
      done = 0

  return batches if times == 1 else start_at


def seed_of(key):
  """An int in [0, 2³¹) from a jax random key, for the streams of this module.

  Fold a constant into a key that is also used elsewhere.
  """
  return int(jax.random.bits(key, dtype='uint32') >> 1)


def batch_indices(size, *, batch_size, seed, step):
  """Indices of the examples of step `step`: int32 [batch_size]."""
  positions = step * batch_size + np.arange(batch_size)
  epochs, within = np.divmod(positions, size)
  return np.concatenate(
    [
      _permutation(size, seed, int(epoch))[within[epochs == epoch]]
      for epoch in np.unique(epochs)
    ]
  )


def members_of(labels):
  """Indices of the examples of each identity: [N] → list of int32 arrays."""
  _, identity, counts = np.unique(
    np.asarray(labels), return_inverse=True, return_counts=True
  )
  order = np.argsort(identity, kind='stable').astype(np.int32)
  return np.split(order, np.cumsum(counts)[:-1])


def identity_indices(members, *, identities, images, seed, step):
  """Indices of a batch of P different identities with K images each.

  An epoch is a permutation of the identities, drawn from (seed, epoch) and cut
  into whole batches; those left over sit it out. An identity's images are
  dealt in permutations of their own, K an epoch: no image comes twice before
  fewer than K are left, nor twice in a batch unless there are fewer than K.

  Args:
    members: list of int arrays, the examples of each identity.
    identities: P.
    images: K.
    seed: int.
    step: int.

  Returns:
    int32 [P * K], the images of one identity side by side.

  Raises:
    ValueError: fewer than P identities.
  """
  _check_identities(members, identities)
  epoch, batch = divmod(step, len(members) // identities)
  order = _permutation(len(members), seed, epoch)
  chosen = order[batch * identities :][:identities]
  return np.concatenate(
    [
      members[identity][
        _deal(len(members[identity]), images, seed, identity, epoch)
      ]
      for identity in chosen.tolist()
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
      only, e.g. `prepared.Source`.
    batch_size: examples in a batch; the stream runs over epochs, each with a
      permutation of its own. A batch may straddle two.
    seed: int.
    sharding: where the batches go; None is the default device.

  Returns:
    batches(start), batches {name: array [batch_size, ...]} on the device.

  Raises:
    ValueError: no examples, or a batch does not divide over the processes.
  """
  if len(source) == 0:
    raise ValueError('a data source without examples')
  count = jax.process_count()
  if batch_size % count:
    raise ValueError(f'{batch_size} rows do not divide over {count} processes')
  share = batch_size // count
  dataset = (
    grain.MapDataset.source(source)
    .seed(seed)
    .shuffle()
    .repeat()
    .batch(share)
    # Blocks of a batch lie one after the other: each process takes its own.
    .slice(slice(jax.process_index(), None, count))
    .to_iter_dataset(
      grain.ReadOptions(num_threads=4, prefetch_buffer_size=2 * share)
    )
  )

  def start_at(start):
    iterator = iter(dataset)
    # After .batch(), an element is a batch: one a step.
    iterator.set_state({'next_index': start})
    for rows in iterator:
      if count == 1:
        yield jax.device_put(rows, sharding)
      else:
        yield jax.make_array_from_process_local_data(sharding, rows)

  return start_at


def _put_whole(array, sharding):
  """A copy on each device of a sharding, of what each process has."""
  # `jnp.array`: device_put alone would borrow the buffers of NumPy arrays.
  array = jnp.array(array)
  if sharding is None:
    return array
  whole = jax.sharding.NamedSharding(sharding.mesh, jax.P())
  if whole.is_fully_addressable:
    return jax.device_put(array, whole)
  return jax.make_array_from_process_local_data(whole, np.asarray(array))


def _take(arrays, indices):
  return jax.tree.map(lambda array: array[indices], arrays)


def _check_identities(members, identities):
  if len(members) < identities:
    raise ValueError(
      f'{identities} identities in a batch, but the set has {len(members)}: '
      'choose fewer or add identities'
    )


def _deal(size, images, seed, identity, epoch):
  """Which of an identity's images one epoch gets: [images]."""
  pack, hand = divmod(epoch, max(size // images, 1))
  # Never (seed, epoch), not even padded with zeros: that orders the identities.
  rng = np.random.default_rng([seed, pack, 1 + identity])
  positions = hand * images + np.arange(images)
  return rng.permutation(size)[positions % size]


@functools.lru_cache(maxsize=8)
def _permutation(size, seed, epoch):
  order = np.random.default_rng([seed, epoch]).permutation(size)
  return order.astype(np.int32)

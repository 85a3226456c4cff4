"""A training on one and on eight devices, and how batches and states lie there.

A process of its own: JAX counts devices when it starts. Set XLA_FLAGS to
--xla_force_host_platform_device_count=8. Prints the refusal of a batch that
does not divide, and the buffers of a state: how many, and those that it shares.
"""

import tempfile

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn

from palmjax.engine import loop, mesh, state
from palmjax.models import forward


class Net(nn.Module):
  @nn.compact
  def __call__(self, images, train):
    x = nn.Conv(4, (3, 3), use_bias=False)(images)
    x = nn.BatchNorm(use_running_average=not train, momentum=0.9)(x)
    return nn.Dense(3)(nn.relu(x).mean((1, 2)))


NET, TX = Net(), optax.sgd(0.1, momentum=0.9)


def step(train_state, frozen, batch, key):
  del frozen
  key = jax.random.fold_in(key, train_state.step)
  noise = 0.1 * jax.random.normal(key, batch['image'].shape)

  def loss_fn(params):
    logits, stats = forward.apply_train(
      NET, params, train_state.stats, batch['image'] + noise, key
    )
    losses = optax.softmax_cross_entropy_with_integer_labels(
      logits, batch['label']
    )
    return losses.mean(), stats

  (loss, stats), grads = jax.value_and_grad(loss_fn, has_aux=True)(
    train_state.params
  )
  new, _ = state.apply_gradients(
    train_state, TX, grads, stats=stats, ema_decay=0.9
  )
  return new, {'loss': loss}


def batches(start):
  for i in range(start, 100):
    random = np.random.default_rng(i)
    # Rows differ in mean and scale: the statistics of a shard are not those of
    # the batch.
    scale = np.arange(1, 17, dtype=np.float32)[:, None, None, None]
    yield {
      'image': scale * random.normal(size=(16, 6, 6, 2)).astype(np.float32),
      'label': random.integers(0, 3, 16).astype(np.int32),
    }


def train(devices):
  """Six steps, resumed after three. Returns the first and the last state."""
  images = jnp.zeros((1, 6, 6, 2))
  variables = NET.init(jax.random.key(0), images, train=False)
  first = state.create(
    variables['params'],
    {'batch_stats': variables['batch_stats']},
    TX,
    ema=True,
  )
  # Shared buffers crash eight devices outright where one raises.
  first = first.replace(ema=first.params)
  jitted = mesh.jit_step(step, devices)
  common = {
    'frozen': None,
    'batches': batches,
    'key': jax.random.key(2),
    'workdir': tempfile.mkdtemp(),
    'mesh': devices,
    'name': 'net',
    'ckpt_every': 2,
    'log_every': 5,
  }
  loop.fit(loop.always(jitted), first, num_steps=3, **common)
  last, _ = loop.fit(loop.always(jitted), first, num_steps=6, **common)
  assert jitted._cache_size() == 1, jitted._cache_size()
  return first, last


def compare_trainings():
  first, one = train(mesh.make(1))
  _, eight = train(mesh.make(8))
  assert len(eight.params['Dense_0']['kernel'].sharding.device_set) == 8
  moved = jax.tree.map(
    lambda a, b: np.abs(a - b).max(), first.params, one.params
  )
  assert min(jax.tree.leaves(moved)) > 1e-4, moved
  leaves = jax.tree_util.tree_leaves_with_path(one)
  for (path, a), b in zip(leaves, jax.tree.leaves(eight), strict=True):
    np.testing.assert_allclose(
      a, b, rtol=1e-5, atol=1e-5, err_msg=jax.tree_util.keystr(path)
    )


def split_a_batch(devices):
  batch = next(batches(0))['image']
  # Not the mean of the shards' variances.
  variance = jax.jit(lambda x: x.var())
  sharded = mesh.shard_batch(batch, devices)
  np.testing.assert_allclose(variance(sharded), batch.var(), rtol=1e-5)
  try:
    mesh.shard_batch({'image': batch[:12]}, devices)
  except ValueError as error:
    print(error)


def own_a_state(devices):
  tree = mesh.replicate({'a': np.ones(64, np.float32)}, devices)
  tree['b'] = tree['a']
  owned = mesh.copy_to_devices(tree, devices)
  mine = pointers(*owned.values())
  print(len(mine), mine & pointers(tree['a']))


def keep_rows_split(devices):
  """A run that is resumed leaves rows where they are, and changes no bit."""
  rows = jax.device_put(
    np.arange(24, dtype=np.float32).reshape(8, 3), mesh.split_rows(devices)
  )
  first = {'rows': rows, 'sum': np.float32(0)}
  placed = mesh.shardings(first, devices)

  def move(values, frozen, batch, key):
    del frozen, key
    rows = 0.9 * values['rows'] + batch['image'].mean()
    new = {'rows': rows, 'sum': values['sum'] + rows.sum()}
    return new, {'sum': new['sum']}

  jitted = mesh.jit_step(move, devices, placed=placed)

  def fit(workdir, num_steps):
    last, _ = loop.fit(
      loop.always(jitted),
      first,
      frozen=None,
      batches=batches,
      num_steps=num_steps,
      key=jax.random.key(0),
      workdir=workdir,
      mesh=devices,
      name='rows',
      ckpt_every=2,
      log_every=5,
      evals=lambda values, step: (jax.device_get(values), {}),
      eval_every=3,
    )
    for name, leaf in last.items():
      assert leaf.sharding == placed[name], name
    shards = last['rows'].addressable_shards
    assert {shard.data.shape for shard in shards} == {(2, 3)}
    return jax.device_get(last)

  once, halves = tempfile.mkdtemp(), tempfile.mkdtemp()
  fit(halves, 3)
  jax.tree.map(np.testing.assert_array_equal, fit(halves, 6), fit(once, 6))
  assert jitted._cache_size() == 1, jitted._cache_size()


def pointers(*leaves):
  return {
    shard.data.unsafe_buffer_pointer()
    for leaf in leaves
    for shard in leaf.addressable_shards
  }


if __name__ == '__main__':
  assert len(jax.devices()) == 8
  compare_trainings()
  keep_rows_split(mesh.split(mesh.make(8), 4))
  split_a_batch(mesh.make(8))
  own_a_state(mesh.make(8))

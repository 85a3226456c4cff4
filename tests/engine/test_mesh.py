import os
import pathlib
import subprocess
import sys
import textwrap

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from palmjax.engine import mesh

# A process of its own: the device count is fixed when JAX starts.
EIGHT = """
  import jax, jax.numpy as jnp, numpy as np, optax, tempfile
  from flax import linen as nn
  from palmjax.engine import loop, mesh, state
  from palmjax.models import forward

  assert len(jax.devices()) == 8

  class Net(nn.Module):
    @nn.compact
    def __call__(self, images, train):
      x = nn.Conv(4, (3, 3), use_bias=False)(images)
      x = nn.BatchNorm(use_running_average=not train, momentum=0.9)(x)
      return nn.Dense(3)(nn.relu(x).mean((1, 2)))

  net, tx = Net(), optax.sgd(0.1, momentum=0.9)

  def step(train_state, frozen, batch, key):
    key = jax.random.fold_in(key, train_state.step)
    noise = 0.1 * jax.random.normal(key, batch['image'].shape)

    def loss_fn(params):
      logits, stats = forward.apply_train(
        net, params, train_state.stats, batch['image'] + noise, key
      )
      losses = optax.softmax_cross_entropy_with_integer_labels(
        logits, batch['label']
      )
      return losses.mean(), stats

    (loss, stats), grads = jax.value_and_grad(loss_fn, has_aux=True)(
      train_state.params
    )
    new, _ = state.apply_gradients(
      train_state, tx, grads, stats=stats, ema_decay=0.9
    )
    return new, {'loss': loss}

  def batches(start):
    for i in range(start, 100):
      random = np.random.default_rng(i)
      # Rows differ in mean and scale: the statistics of a shard are not those
      # of the batch.
      scale = np.arange(1, 17, dtype=np.float32)[:, None, None, None]
      yield {
        'image': scale * random.normal(size=(16, 6, 6, 2)).astype(np.float32),
        'label': random.integers(0, 3, 16).astype(np.int32),
      }

  results = []
  for devices in (mesh.make(1), mesh.make(8)):
    images = jnp.zeros((1, 6, 6, 2))
    variables = net.init(jax.random.key(0), images, train=False)
    first = state.create(
      variables['params'], {'batch_stats': variables['batch_stats']}, tx,
      ema=True,
    )
    # Shared buffers crash eight devices outright where one raises.
    first = first.replace(ema=first.params)
    jitted = mesh.jit_step(step, devices)
    common = dict(
      frozen=None, batches=batches, key=jax.random.key(2),
      workdir=tempfile.mkdtemp(), mesh=devices, name='net', ckpt_every=2,
      log_every=5,
    )
    loop.fit(loop.always(jitted), first, num_steps=3, **common)
    results.append(
      loop.fit(loop.always(jitted), first, num_steps=6, **common)[0]
    )
    assert jitted._cache_size() == 1, jitted._cache_size()
  one, eight = results
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

  # Not the mean of the shards' variances.
  batch = next(batches(0))['image']
  variance = jax.jit(lambda x: x.var())
  sharded = mesh.shard_batch(batch, devices)
  np.testing.assert_allclose(variance(sharded), batch.var(), rtol=1e-5)

  try:
    mesh.shard_batch({'image': batch[:12]}, devices)
  except ValueError as error:
    print(error)
  tree = mesh.replicate({'a': np.ones(64, np.float32)}, devices)
  tree['b'] = tree['a']
  owned = mesh.own(tree, devices)

  def pointers(*leaves):
    return {
      shard.data.unsafe_buffer_pointer()
      for leaf in leaves
      for shard in leaf.addressable_shards
    }

  mine = pointers(*owned.values())
  print(len(mine), mine & pointers(tree['a']))
"""


def test_eight_devices_give_the_result_of_one():
  root = str(pathlib.Path(__file__).parents[2])
  result = subprocess.run(
    [sys.executable, '-c', textwrap.dedent(EIGHT)],
    capture_output=True,
    text=True,
    timeout=120,
    env={
      **os.environ,
      'PYTHONPATH': root,
      'JAX_PLATFORMS': 'cpu',
      'XLA_FLAGS': '--xla_force_host_platform_device_count=8',
    },
  )
  assert result.returncode == 0, result.stderr
  *_, refusal, buffers = result.stdout.splitlines()
  assert refusal == (
    "12 rows of batch entry 'image' do not divide over 8 devices: use a "
    'multiple of 8'
  )
  # Two leaves on eight devices; none is the source's.
  assert buffers == '16 set()'


def test_make_takes_what_there_is():
  assert mesh.make().size == len(jax.devices())
  assert mesh.make(1).axis_names == ('data',)
  for count in (0, len(jax.devices()) + 1):
    with pytest.raises(ValueError, match=f'^{count} devices asked for'):
      mesh.make(count)


def test_own_copies_and_strips_weak_types():
  devices = mesh.make(1)
  source = mesh.replicate(jnp.arange(4.0), devices)
  tree = {'a': source, 'b': source, 'n': None, 'weak': jnp.asarray(2.0)}
  owned = mesh.own(tree, devices)
  pointers = {
    leaf.unsafe_buffer_pointer() for leaf in (source, owned['a'], owned['b'])
  }
  assert len(pointers) == 3
  assert tree['weak'].weak_type
  assert not owned['weak'].weak_type
  np.testing.assert_array_equal(owned['a'], [0, 1, 2, 3])
  assert owned['n'] is None


@pytest.mark.parametrize('donate', [True, False])
def test_jit_step_donates_the_state_only(donate):
  devices = mesh.make(1)

  def step(value, frozen, batch, key):
    return value + frozen + batch.sum(), {'bits': jax.random.uniform(key)}

  value = mesh.own(jnp.ones((3,)), devices)
  frozen = mesh.replicate(jnp.ones((3,)), devices)
  batch = mesh.shard_batch(np.ones((2,), np.float32), devices)
  new, _ = mesh.jit_step(step, devices, donate=donate)(
    value, frozen, batch, jax.random.key(0)
  )
  assert value.is_deleted() == donate
  assert not frozen.is_deleted()
  assert not batch.is_deleted()
  np.testing.assert_array_equal(new, [4, 4, 4])


def test_steps_compiled_together_do_what_they_do_one_by_one():
  devices = mesh.make(1)

  def scale(factor):
    def step(state, frozen, batch, key):
      noise = jax.random.normal(key, state.shape)
      state = factor * state + frozen + jnp.sum(batch['x']) + noise
      return state, {'sum': jnp.sum(state)}

    return mesh.jit_step(step, devices)

  steps = [scale(2.0), scale(3.0)]
  state, frozen = np.arange(3, dtype=np.float32), np.float32(1)
  batch, key = {'x': np.ones(4, np.float32)}, jax.random.key(0)
  together = mesh.compile_together(
    steps, state, frozen, batch, key, mesh=devices
  )
  for one, compiled in zip(steps, together, strict=True):
    want = one(mesh.own(state, devices), frozen, batch, key)
    got = compiled(
      mesh.own(state, devices),
      mesh.replicate(frozen, devices),
      mesh.shard_batch(batch, devices),
      mesh.replicate(key, devices),
    )
    np.testing.assert_array_equal(got[0], want[0])
    np.testing.assert_array_equal(got[1]['sum'], want[1]['sum'])
    assert one._cache_size() == 1  # Compiled for the call here, not before.

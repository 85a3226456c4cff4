"""The step of split classes, on eight devices; prints the parts that hold.

A process of its own: JAX counts devices when it starts. Set XLA_FLAGS to
--xla_force_host_platform_device_count=8.
"""

import functools
import re

import jax
import numpy as np
from flax import linen as nn

from palmjax.engine import mesh as meshes
from palmjax.engine import optim
from palmjax.losses import metric as metric_losses
from palmjax.losses import sharded_margin
from palmjax.models import heads
from palmjax.steps import classify, metric, sharded_metric

# Sizes that no other array of the program has; 1003 is no multiple of a shard.
BATCH, SIZE, CLASSES = 16, 24, 1003
TX = optim.sgd(
  0.1,
  num_steps=10,
  warmup_steps=0,
  momentum=0.9,
  weight_decay=5e-2,
  max_norm=5.0,
)
MARGIN, SCALE = 0.4, 16.0
KEY = jax.random.key(3)
SHARDS = (1, 2, 4, 8)


class Embedder(nn.Module):
  @nn.compact
  def __call__(self, images, *, train):
    x = nn.Conv(8, (4, 4), 4)(images)
    x = nn.BatchNorm(use_running_average=not train, momentum=0.5)(x)
    return nn.Dense(SIZE)(nn.relu(x).reshape(len(x), -1))


def noise(key, images):
  return images + 0.1 * jax.random.normal(key, images.shape)


MODEL = Embedder()
IMAGES = {'preprocess': lambda images: images, 'augment': noise}
STATE = {'input_shape': (16, 16, 3)}


def a_batch():
  random = np.random.default_rng(0)
  return {
    'image': random.integers(0, 256, (BATCH, 16, 16, 3), np.uint8),
    'label': random.integers(0, CLASSES, BATCH).astype(np.int32),
  }


def arcface(embeddings, head, labels, norms):
  del norms
  logits = metric_losses.arcface_logits(
    embeddings, head, labels, margin=MARGIN, scale=SCALE
  )
  return metric_losses.cross_entropy(logits, labels)


def dense(head, batch, *, steps):
  """State and metrics after steps of `steps.metric` on one device."""
  state = metric.create_state(MODEL, TX, jax.random.key(0), head=head, **STATE)
  step = jax.jit(
    metric.make_step(MODEL, TX, losses={'arcface': arcface}, **IMAGES)
  )
  for _ in range(steps):
    state, metrics = step(state, None, batch, KEY)
  return jax.device_get((state, metrics))


def sharded(shards, batch, *, share=1.0):
  """(first state, batch, key) on eight devices, and the compiled step."""
  mesh = meshes.split(meshes.make(8), shards)
  head = heads.init_split_head(
    jax.random.key(1),
    CLASSES,
    SIZE,
    num_rows=shards * sharded_margin.rows_per_shard(CLASSES, shards),
    sharding=meshes.split_rows(mesh),
  )
  state = classify.create_state(
    MODEL, TX, jax.random.key(0), head=head, **STATE
  )
  placed = meshes.shardings(state, mesh)
  step = meshes.jit_step(
    sharded_metric.make_step(
      MODEL,
      TX,
      mesh=mesh,
      num_classes=CLASSES,
      margin=functools.partial(metric_losses.add_angle, margin=MARGIN),
      scale=SCALE,
      share=share,
      **IMAGES,
    ),
    mesh,
    placed=placed,
  )
  arguments = (
    meshes.copy_to_devices(state, mesh, placed),
    meshes.shard_batch(batch, mesh),
    meshes.replicate(KEY, mesh),
  )
  state, batch, key = arguments
  return *arguments, step.lower(state, None, batch, key).compile()


def momentum(state):
  """What SGD keeps of the class weights."""
  (leaf,) = [
    leaf
    for path, leaf in jax.tree_util.tree_leaves_with_path(state.opt_state)
    if path[-1] == jax.tree_util.DictKey('head')
  ]
  return leaf


def same_class_weights(state, one, classes=slice(CLASSES)):
  for got, want in (
    (state.params['head'], one.params['head']),
    (momentum(state), momentum(one)),
  ):
    np.testing.assert_allclose(
      np.asarray(got)[classes], want, rtol=1e-5, atol=1e-5
    )


def same_backbone(state, one):
  jax.tree.map(
    functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-5),
    jax.device_get((state.params['backbone'], state.stats['batch_stats'])),
    (one.params['backbone'], one.stats['batch_stats']),
  )


def check_shapes(shards, state, program):
  """Arrays of a device, in its state and in its program, have its rows only."""
  rows = sharded_margin.rows_per_shard(CLASSES, shards)
  for leaf in (state.params['head'], momentum(state)):
    for shard in leaf.addressable_shards:
      assert shard.data.shape == (rows, SIZE)
  shapes = {
    tuple(map(int, sizes.split(',')))
    for sizes in re.findall(r'\[(\d+(?:,\d+)*)\]', program)
  }
  assert {(BATCH * shards // 8, rows), (rows, SIZE)} <= shapes
  of_all = {shape for shape in shapes if {CLASSES, shards * rows} & {*shape}}
  assert bool(of_all) == (shards == 1), of_all


def compare_steps(batch):
  """Two steps with all classes, and their metrics, are those of one device.

  Then no device has an array of all classes, and memory falls as 1 / shards.
  """
  head = heads.init_head(jax.random.key(1), CLASSES, SIZE)
  one, metrics = dense(head, batch, steps=2)
  temporary = []
  for shards in SHARDS:
    state, sharded_batch, key, step = sharded(shards, batch)
    # Fused, they are rounded otherwise.
    np.testing.assert_allclose(state.params['head'][:CLASSES], head, rtol=1e-6)
    for _ in range(2):
      state, got = step(state, None, sharded_batch, key)
    same_class_weights(state, one)
    same_backbone(state, one)
    np.testing.assert_array_equal(state.params['head'][CLASSES:], 0)
    assert got.keys() == metrics.keys() - {'loss/arcface'}
    for name, value in got.items():
      np.testing.assert_allclose(value, metrics[name], rtol=1e-5, err_msg=name)
    check_shapes(shards, state, step.as_text())
    temporary.append(step.memory_analysis().temp_size_in_bytes)
  # The arrays of the backbone are as large as ever.
  assert temporary == sorted({*temporary}, reverse=True), temporary


def compare_samples(batch):
  """A step with some classes is one that knows no others."""
  for shards in (2, 8):
    state, sharded_batch, key, step = sharded(shards, batch, share=0.1)
    # A copy: the step gives the buffers away.
    head = np.array(state.params['head'])[:CLASSES]
    state, got = step(state, None, sharded_batch, key)
    new = np.array(state.params['head'])
    # Weight decay moves every row that takes part.
    moved = np.flatnonzero((new[:CLASSES] != head).any(axis=1))
    num_rows = sharded_margin.rows_per_shard(CLASSES, shards)
    size = sharded_margin.sample_size(num_rows, BATCH, 0.1)
    assert len(moved) == size * shards
    kept = np.delete(np.asarray(momentum(state)), moved, axis=0)
    np.testing.assert_array_equal(kept, 0)
    known = {'label': np.searchsorted(moved, batch['label']).astype(np.int32)}
    one, metrics = dense(head[moved], batch | known, steps=1)
    same_class_weights(state, one, moved)
    same_backbone(state, one)
    for name, value in got.items():
      np.testing.assert_allclose(value, metrics[name], rtol=1e-5, err_msg=name)
    # The next step draws others.
    state, _ = step(state, None, sharded_batch, key)
    again = (np.asarray(state.params['head']) != new)[:CLASSES].any(axis=1)
    assert {*np.flatnonzero(again).tolist()} != {*moved.tolist()}


if __name__ == '__main__':
  assert jax.device_count() == 8
  for part in (compare_steps, compare_samples):
    part(a_batch())
    print(part.__name__, flush=True)

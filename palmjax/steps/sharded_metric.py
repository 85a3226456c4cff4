"""Metric learning with class weights that are split over devices.

  L = mean of ℓ over the batch, ℓ of `losses.sharded_margin`,
  e = backbone(preprocess(augment(x)))

The mesh has the axes (data, model). A batch is split over both, so the backbone
works on all devices. Embeddings are then gathered along `model`, where each
device compares them with its own rows of W. Parameters are {'backbone', 'head':
W [N, D]}, with rows past the classes that stay 0.

Where negatives are sampled, a step takes the drawn rows out of the state, makes
its update with them, and puts them back. All that a rule of the optimiser does
to weights it does to these rows: gradient, decay, momentum. Other rows and what
the optimiser keeps of them do not change. The gradient of the other rows is 0,
so its global norm is that of all weights.
"""

import functools

import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding, PartitionSpec

from palmjax.engine import state as train_state
from palmjax.losses import sharded_margin
from palmjax.models import forward
from palmjax.ops import pixels
from palmjax.steps import classify

# Every use folds its own constant into the key of the clock. The first two are
# those of `steps.metric`.
_AUGMENT, _DROPOUT, _SAMPLE = range(3)
_HEAD = jax.tree_util.DictKey('head')


def make_step(
  model,
  tx,
  *,
  mesh,
  num_classes,
  margin,
  scale,
  share=1.0,
  preprocess,
  augment,
):
  """One update on labelled images. Differentiates: backbone and head.

  Args:
    model: embedding network.
    tx: optax transformation; where negatives are sampled, one that treats every
      number of the head alike.
    mesh: devices, axes (data, model).
    num_classes: K.
    margin: the cosine of the label [B] → the one that is trained on.
    scale: s.
    share: of the rows of a device that a step uses; 1: all (see
      `sharded_margin.sample_size`).
    preprocess: float [B, H, W, 3] in [-1, 1] → input of the network.
    augment: (key, float [B, H, W, 3]) → the same shape.

  Returns:
    step(state, frozen, batch, key) → (state, metrics); batch {'image': uint8
    [B, H, W, 3], 'label': int32 [B]}; every leaf of `state` called 'head' is
    split over `model`. 'accuracy' is that of the head, without margin, among
    the classes that take part.

  Raises:
    ValueError: a share that is none.
  """
  sharded_margin.sample_size(1, 1, share)  # Refuses it.
  data, axis = mesh.axis_names
  split, whole = PartitionSpec(axis), PartitionSpec()
  per_image = PartitionSpec(data)
  over_all = NamedSharding(mesh, PartitionSpec(mesh.axis_names))
  on_shards = functools.partial(jax.shard_map, mesh=mesh)

  take = on_shards(
    sharded_margin.take_rows, in_specs=(split, split), out_specs=split
  )
  put = on_shards(
    sharded_margin.put_rows, in_specs=(split,) * 3, out_specs=split
  )

  @functools.partial(on_shards, in_specs=split, out_specs=split)
  def classes_of(head):
    return sharded_margin.classes_of_shard(len(head), num_classes, axis)

  @functools.partial(
    on_shards, in_specs=(whole, whole, split), out_specs=(split, split)
  )
  def draw(key, labels, classes):
    size = sharded_margin.sample_size(len(classes), len(labels), share)
    return sharded_margin.sample_rows(
      key, labels, classes, size=size, axis=axis
    )

  losses_and_hits = on_shards(
    functools.partial(
      sharded_margin.cross_entropies, margin=margin, scale=scale, axis=axis
    ),
    in_specs=(per_image, split, split, per_image),
    out_specs=per_image,
  )

  def step(state, frozen, batch, key):
    del frozen
    key = jax.random.fold_in(key, state.step)
    images = augment(
      jax.random.fold_in(key, _AUGMENT), pixels.to_float(batch['image'])
    )
    inputs = preprocess(images)
    labels = batch['label']
    classes = classes_of(state.params['head'])
    trained = state
    if share < 1:
      drawn, classes = draw(jax.random.fold_in(key, _SAMPLE), labels, classes)
      trained = _map_heads(lambda head: take(head, drawn), state)

    def loss_fn(params):
      embeddings, stats = forward.apply_train(
        model,
        params['backbone'],
        state.stats,
        inputs,
        jax.random.fold_in(key, _DROPOUT),
      )
      # Else all devices of `model` repeat the backward pass of the backbone.
      embeddings = jax.lax.with_sharding_constraint(embeddings, over_all)
      losses, hits = losses_and_hits(
        embeddings, params['head'], classes, labels
      )
      loss = jnp.mean(losses)
      metrics = {
        'loss': loss,
        'accuracy': jnp.mean(hits),
        'embedding_norm': classify.mean_norm(embeddings),
      }
      return loss, (stats, metrics)

    trained, metrics = train_state.descend(trained, tx, loss_fn)
    if share < 1:
      trained = _map_heads(
        lambda rows, head: put(head, drawn, rows), trained, state
      )
    return trained, metrics

  return step


def _map_heads(function, tree, *others):
  """Applies a function to leaves called 'head'; the rest is as in `tree`."""
  return jax.tree_util.tree_map_with_path(
    lambda path, leaf, *more: (
      function(leaf, *more) if path and path[-1] == _HEAD else leaf
    ),
    tree,
    *others,
  )

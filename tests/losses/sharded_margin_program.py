"""The loss over split classes, on eight devices; prints the parts that agree.

A process of its own: JAX counts devices when it starts. Set XLA_FLAGS to
--xla_force_host_platform_device_count=8.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec

from palmjax.engine import mesh as meshes
from palmjax.losses import metric, sharded_margin

BATCH, SIZE, CLASSES = 16, 24, 1003  # A prime: no number of shards divides it.
MARGIN, SCALE = 0.5, 64.0
SHARDS = (1, 2, 4, 8)
SPLIT, PER_IMAGE = PartitionSpec('model'), PartitionSpec('data')
WHOLE = PartitionSpec()
RANDOM = np.random.default_rng(0)


def problem(classes=CLASSES):
  """Embeddings, class weights and labels; one label is past the fold."""
  embeddings = RANDOM.normal(size=(BATCH, SIZE)).astype(np.float32)
  head = RANDOM.normal(size=(classes, SIZE)).astype(np.float32)
  labels = RANDOM.integers(0, classes, BATCH).astype(np.int32)
  labels[3] = labels[0]
  labels[1:3] = 0, classes - 1
  embeddings[1] = -2 * head[0] + 0.1 * embeddings[1]
  embeddings[2] = head[classes - 1] + 0.3 * embeddings[2]
  return embeddings, head, labels


def oracle(embeddings, head, labels):
  """Losses, and gradients of their mean, in float64 by the formulas."""
  e, w = np.float64(embeddings), np.float64(head)
  e_length = np.linalg.norm(e, axis=1, keepdims=True)
  w_length = np.linalg.norm(w, axis=1, keepdims=True)
  e, w = e / e_length, w / w_length
  cosine = e @ w.T
  images = np.arange(len(e))
  target = cosine[images, labels]
  theta = np.arccos(target)
  beyond = theta + MARGIN >= np.pi
  assert 0 < beyond.sum() < len(e)
  moved = np.where(
    beyond, target - MARGIN * np.sin(MARGIN), np.cos(theta + MARGIN)
  )
  slope = np.where(beyond, 1.0, np.sin(theta + MARGIN) / np.sin(theta))
  logits = SCALE * cosine
  logits[images, labels] = SCALE * moved
  shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
  losses = np.log(shifted.sum(axis=1)) + logits.max(axis=1) - SCALE * moved
  by_cosine = SCALE * shifted / shifted.sum(axis=1, keepdims=True)
  by_cosine[images, labels] -= SCALE
  by_cosine[images, labels] *= slope
  by_cosine /= len(e)
  pull = (by_cosine * cosine).sum
  by_embedding = (by_cosine @ w - pull(axis=1)[:, None] * e) / e_length
  by_head = (by_cosine.T @ e - pull(axis=0)[:, None] * w) / w_length
  return losses, by_embedding, by_head


def padded(head, shards):
  rows = shards * sharded_margin.rows_per_shard(len(head), shards)
  return np.pad(head, ((0, rows - len(head)), (0, 0)))


def make_losses(mesh, classes, family=None):
  """(embeddings, padded head, labels) → losses, hits."""
  margin = family or functools.partial(metric.add_angle, margin=MARGIN)

  def on_shard(embeddings, rows, labels):
    of_rows = sharded_margin.classes_of_shard(len(rows), classes, 'model')
    return sharded_margin.cross_entropies(
      embeddings,
      rows,
      of_rows,
      labels,
      margin=margin,
      scale=SCALE,
      axis='model',
    )

  return jax.shard_map(
    on_shard,
    mesh=mesh,
    in_specs=(PER_IMAGE, SPLIT, PER_IMAGE),
    out_specs=PER_IMAGE,
  )


def differentiate(losses, embeddings, head, labels):
  """Losses, hits, and the gradients of the mean loss."""

  def mean(embeddings, head):
    each, hits = losses(embeddings, head, labels)
    return jnp.mean(each), (each, hits)

  grads, (each, hits) = jax.jit(jax.grad(mean, (0, 1), has_aux=True))(
    embeddings, head
  )
  return each, hits, *grads


def compare_with_dense(classes):
  embeddings, head, labels = problem(classes)

  def dense(embeddings, head, labels):
    logits = metric.arcface_logits(
      embeddings, head, labels, margin=MARGIN, scale=SCALE
    )
    free = metric.arcface_logits(embeddings, head, None, scale=SCALE)
    hits = jnp.argmax(free, axis=1) == labels
    return metric.cross_entropies(logits, labels), hits

  want, hits, *gradients = differentiate(dense, embeddings, head, labels)
  assert 0 < hits.sum() < BATCH
  exact, *exact_gradients = oracle(embeddings, head, labels)
  close = functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-5)
  for shards in SHARDS:
    mesh = meshes.split(meshes.make(8), shards)
    losses, hit, by_embedding, by_head = differentiate(
      make_losses(mesh, classes), embeddings, padded(head, shards), labels
    )
    np.testing.assert_array_equal(hit, hits)
    close(losses, want)
    close(losses, exact)
    for got, one, other in zip(
      (by_embedding, by_head[:classes]), gradients, exact_gradients, strict=True
    ):
      assert np.abs(one).max() > 0.1
      close(got, one)
      close(got, other)
    np.testing.assert_array_equal(by_head[classes:], 0)


def other_margins():
  embeddings, head, labels = problem()
  mesh = meshes.split(meshes.make(8), 4)
  for margin, logits in (
    (lambda cosine: cosine - 0.4, metric.cosface_logits),
    (lambda cosine: cosine, metric.normalised_logits),
  ):
    want = metric.cross_entropies(logits(embeddings, head, labels), labels)
    losses, _ = jax.jit(make_losses(mesh, CLASSES, margin))(
      embeddings, padded(head, 4), labels
    )
    np.testing.assert_allclose(losses, want, rtol=1e-5, atol=1e-5)


def sample(mesh, key, labels, *, num_rows, size):
  """Rows that each shard drew, and their classes: two [shards, size]."""

  def on_shard(key, labels):
    classes = sharded_margin.classes_of_shard(num_rows, CLASSES, 'model')
    return sharded_margin.sample_rows(
      key, labels, classes, size=size, axis='model'
    )

  drawn = jax.jit(
    jax.shard_map(
      on_shard, mesh=mesh, in_specs=(WHOLE, WHOLE), out_specs=(SPLIT, SPLIT)
    )
  )(key, labels)
  return (np.asarray(each).reshape(-1, size) for each in drawn)


def sampled_classes():
  _, _, labels = problem()
  for shards in SHARDS:
    mesh = meshes.split(meshes.make(8), shards)
    num_rows = sharded_margin.rows_per_shard(CLASSES, shards)
    draw = functools.partial(sample, mesh, num_rows=num_rows)
    chosen = []
    for share, seed in ((0.2, 0), (0.2, 1), (1.0, 0)):
      size = sharded_margin.sample_size(num_rows, BATCH, share)
      rows, classes = draw(jax.random.key(seed), labels, size=size)
      is_row = rows < num_rows
      assert is_row.sum() == min(size * shards, CLASSES)
      first = np.arange(shards)[:, None] * num_rows
      np.testing.assert_array_equal(
        classes, np.where(is_row, rows + first, sharded_margin.NO_CLASS)
      )
      chosen.append({*classes[is_row].tolist()})
      assert len(chosen[-1]) == is_row.sum()
      assert {*labels.tolist()} <= chosen[-1]
    assert chosen[0] != chosen[1]
    assert chosen[2] == {*range(CLASSES)}
    if shards > 2:  # Without a label a shard draws as another key says.
      rows, _ = draw(jax.random.key(0), np.zeros(BATCH, np.int32), size=20)
      assert {*rows[1].tolist()} != {*rows[2].tolist()}


if __name__ == '__main__':
  assert jax.device_count() == 8
  for count in (CLASSES, 5):  # Of 5 classes some shards have none.
    compare_with_dense(count)
    print(count, flush=True)
  other_margins()
  print('margins', flush=True)
  sampled_classes()
  print('samples', flush=True)

"""Triplets: hand-made ones, a twin of loops, gradients."""

import chex
import jax
import numpy as np
import pytest

from palmjax.losses import triplet


def random(*shape, seed=0):
  rng = np.random.default_rng(seed)
  return rng.normal(size=shape).astype(np.float32)


def on_circle(*degrees):
  angles = np.deg2rad(np.array(degrees))
  return np.float32(np.stack([np.cos(angles), np.sin(angles)], 1))


def loops(embeddings, labels, *, mining, margin, squared):
  """Losses and counts of each anchor, triplet by triplet."""
  e = np.asarray(embeddings, np.float64)
  e = e / np.linalg.norm(e, axis=1, keepdims=True)

  def distance(i, j):
    return np.sum((e[i] - e[j]) ** 2) if squared else 1 - e[i] @ e[j]

  losses, counts = [], []
  for a in range(len(e)):
    positives = [
      distance(a, p) for p in range(len(e)) if p != a and labels[p] == labels[a]
    ]
    negatives = [
      distance(a, n) for n in range(len(e)) if labels[n] != labels[a]
    ]
    terms = []
    if mining == 'hard' and positives and negatives:
      terms = [max(0.0, max(positives) - min(negatives) + margin)]
    if mining == 'semi-hard':
      for near in positives:
        band = [far for far in negatives if near < far < near + margin]
        if band:
          terms.append(near - min(band) + margin)
    losses.append(sum(terms) / len(terms) if terms else 0.0)
    counts.append(len(terms))
  return np.array(losses), np.array(counts)


MINING = pytest.mark.parametrize(
  'mining, function',
  [('hard', triplet.batch_hard), ('semi-hard', triplet.semi_hard)],
)
LABELS = np.array([0, 1, 0, 2, 1, 1, 3, 0, 2, 5])


@MINING
@pytest.mark.parametrize('squared', [True, False])
@pytest.mark.parametrize('margin', [0.2, 1.0])
def test_triplets_equal_loops(mining, function, squared, margin):
  embeddings = random(10, 4)

  @jax.jit
  def mine(embeddings, labels):
    distances = triplet.cosine_distances(embeddings)
    if squared:
      distances = triplet.squared_euclidean(embeddings)
    triplets = function(distances, labels, margin=margin)
    return triplets, triplet.mean(triplets)

  got, mean = mine(embeddings, LABELS)
  losses, counts = loops(
    embeddings, LABELS, mining=mining, margin=margin, squared=squared
  )
  np.testing.assert_array_equal(got.counts, counts)
  np.testing.assert_allclose(got.losses, losses, atol=2e-6)
  np.testing.assert_allclose(mean, losses @ counts / counts.sum(), rtol=1e-5)


def test_golden_batch_hard():
  # Chords: 60° has length 1, 90° √2, so d = 1, 2 and (150°) 3.7320508.

  @jax.jit
  def mine(embeddings):
    distances = triplet.squared_euclidean(embeddings)
    triplets = triplet.batch_hard(distances, np.array([7, 7, 4]), margin=1.5)
    return distances, triplets, triplet.mean(triplets)

  distances, got, mean = mine(on_circle(0, 60, 150))
  np.testing.assert_allclose(
    distances,
    [[0, 1, 3.7320508], [1, 0, 2], [3.7320508, 2, 0]],
    atol=1e-6,
  )
  # Anchor 0: 1 - 3.73 + 1.5 < 0; anchor 1: 1 - 2 + 1.5; anchor 2: no positive.
  np.testing.assert_allclose(got.losses, [0.0, 0.5, 0.0], atol=1e-6)
  np.testing.assert_array_equal(got.counts, [1, 1, 0])
  np.testing.assert_allclose(mean, 0.25, atol=1e-6)


def test_semi_hard_is_beyond_the_positive_and_within_the_margin():
  @jax.jit
  def mine(embeddings):
    distances = triplet.squared_euclidean(embeddings)
    return triplet.semi_hard(distances, np.array([0, 0, 1]))

  # From the anchor at 0°, d = 1 to the positive; negatives one by one.
  for negative, want, count in [
    (59.0, 0.0, 0),  # Hard: nearer than the positive.
    (62.0, 0.1389431, 1),  # 1 - d + .2, d = 2 - 2 cos 62° = 1.0610569.
    (70.0, 0.0, 0),  # Easy: d = 1.3159597 > 1.2.
  ]:
    got = jax.device_get(mine(on_circle(0, 60, -negative)))
    np.testing.assert_allclose(got.losses[0], want, atol=1e-6)
    assert got.counts[0] == count


@MINING
def test_both_distances_are_one_loss(mining, function):
  @jax.jit
  def mine(embeddings):
    squared = triplet.squared_euclidean(embeddings)
    cosine = triplet.cosine_distances(embeddings)
    return (
      function(squared, LABELS, margin=0.4),
      function(cosine, LABELS, margin=0.2),
    )

  squared, cosine = jax.device_get(mine(random(10, 4)))
  assert squared.counts.sum() > 0
  np.testing.assert_array_equal(squared.counts, cosine.counts)
  np.testing.assert_allclose(squared.losses, 2 * cosine.losses, atol=1e-6)


@MINING
def test_no_triplets_no_loss_and_no_gradient(mining, function):
  @jax.jit
  @jax.value_and_grad
  def loss(embeddings, labels):
    distances = triplet.squared_euclidean(embeddings)
    return triplet.mean(function(distances, labels, margin=5.0))

  # No negatives; no positives.
  for labels in (np.zeros(4, int), np.arange(4)):
    value, gradient = loss(random(4, 3), labels)
    assert value == 0
    np.testing.assert_array_equal(gradient, np.zeros((4, 3)))


@MINING
def test_finite_gradient_at_distance_zero(mining, function):
  labels = np.array([0, 0, 1, 1])

  @jax.jit
  @jax.value_and_grad
  def loss(embeddings):
    distances = triplet.squared_euclidean(embeddings)
    return triplet.mean(function(distances, labels, margin=3.0))

  same, zero, one_pair = np.ones((4, 3)), np.zeros((4, 3)), np.eye(4)[:, :3]
  one_pair[1] = one_pair[0]
  for embeddings in (same, zero, one_pair):
    value, gradient = loss(embeddings.astype(np.float32))
    chex.assert_tree_all_finite((value, gradient))
  assert value > 0


def test_gradient_pulls_the_positive_and_pushes_the_negative():
  def loss(embeddings):
    distances = triplet.squared_euclidean(embeddings)
    triplets = triplet.batch_hard(distances, np.array([0, 0, 1]))
    return triplets.losses[0], distances[0]

  embeddings = on_circle(0, 60, -30)
  descend = jax.jit(jax.grad(loss, has_aux=True))
  gradient, before = jax.device_get(descend(embeddings))
  _, after = jax.device_get(descend(embeddings - 0.1 * gradient))
  assert after[1] < before[1] - 0.01
  assert after[2] > before[2] + 0.01


@MINING
def test_gradients_by_finite_differences(mining, function):
  @jax.jit
  def loss(embeddings):
    distances = triplet.squared_euclidean(embeddings)
    return triplet.mean(function(distances, LABELS, margin=0.5))

  embeddings = random(10, 4)
  assert loss(embeddings) > 0.1
  jax.test_util.check_grads(
    loss, (embeddings,), order=1, modes=['rev'], eps=1e-3, rtol=2e-2
  )


def test_shapes_are_checked():
  with pytest.raises(AssertionError):
    triplet.batch_hard(np.zeros((3, 3)), np.zeros(4, np.int32))
  with pytest.raises(AssertionError):
    triplet.semi_hard(np.zeros((4, 3)), np.zeros(4, np.int32))

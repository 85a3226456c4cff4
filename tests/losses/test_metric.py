"""Logits: golden numbers, NumPy twins, gradients."""

import math

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from palmjax.losses import metric


def random(*shape, seed=0):
  rng = np.random.default_rng(seed)
  return jnp.asarray(rng.normal(size=shape), jnp.float32)


def at_cosine(cosine):
  """One embedding and two classes: cosines (`cosine`, 0)."""
  sine = math.sqrt(1 - cosine**2)
  return jnp.array([[cosine, sine, 0.0]]), jnp.eye(3)[jnp.array([0, 2])]


def test_golden_arcface():
  embeddings, head = at_cosine(0.8)
  labels = jnp.array([0])
  logits = metric.arcface_logits(3.0 * embeddings, 2.0 * head, labels, scale=1)
  np.testing.assert_allclose(logits, [[0.41441073, 0.0]], atol=1e-6)


def test_golden_past_the_fold():
  # cos(π - 0.5) = -0.87758256, m sin m = 0.23971277.
  got = metric.add_angle(jnp.array([-0.87, -0.88]), 0.5)
  before = math.cos(math.acos(-0.87) + 0.5)
  np.testing.assert_allclose(got, [before, -0.88 - 0.23971277], atol=1e-6)


def test_arcface_equals_numpy():
  embeddings, head = random(6, 4), random(5, 4, seed=1)
  labels = np.array([0, 4, 2, 2, 1, 3])
  e, w = np.asarray(embeddings, np.float64), np.asarray(head, np.float64)
  want = np.zeros((6, 5))
  for b in range(6):
    for k in range(5):
      cosine = e[b] @ w[k] / np.linalg.norm(e[b]) / np.linalg.norm(w[k])
      theta = math.acos(cosine)
      if k != labels[b]:
        want[b, k] = 30 * cosine
      elif theta + 0.4 < math.pi:
        want[b, k] = 30 * math.cos(theta + 0.4)
      else:
        want[b, k] = 30 * (cosine - 0.4 * math.sin(0.4))
  got = jax.jit(
    lambda e, w: metric.arcface_logits(e, w, labels, margin=0.4, scale=30.0)
  )(embeddings, head)
  np.testing.assert_allclose(got, want, atol=1e-4)


def test_arcface_falls_with_the_angle_everywhere():
  theta = jnp.linspace(0.01, math.pi - 0.01, 400)
  assert np.all(np.diff(metric.add_angle(jnp.cos(theta), 0.5)) < 0)


def test_no_margin_is_the_normalised_softmax():
  embeddings, head = random(4, 3), random(5, 3, seed=1)
  labels = jnp.array([0, 1, 2, 4])
  want = metric.normalised_logits(embeddings, head, scale=1.0)
  zero = metric.arcface_logits(embeddings, head, labels, margin=0.0, scale=1.0)
  free = metric.arcface_logits(embeddings, head, None, margin=0.5, scale=1.0)
  np.testing.assert_allclose(zero, want, atol=1e-6)
  np.testing.assert_allclose(free, want, atol=1e-6)
  np.testing.assert_allclose(
    metric.softmax_logits(metric.unit(embeddings), metric.unit(head)),
    want,
    atol=1e-6,
  )


def test_softmax_logits_are_inner_products():
  got = metric.softmax_logits(
    jnp.array([[1.0, 2.0]]), jnp.array([[3.0, 4.0], [5.0, -6.0]])
  )
  np.testing.assert_array_equal(got, [[11.0, -7.0]])


def test_true_gradient_and_straight_through():
  cosine = 0.8
  sine = 0.6
  true = jax.grad(lambda c: metric.add_angle(c, 0.5))(cosine)
  want = math.sin(math.acos(cosine) + 0.5) / sine
  np.testing.assert_allclose(true, want, rtol=1e-5)

  def label_logit(embeddings, straight_through, margin=0.5):
    return metric.arcface_logits(
      embeddings,
      at_cosine(cosine)[1],
      jnp.array([0]),
      margin=margin,
      straight_through=straight_through,
    )[0, 0]

  embeddings = at_cosine(cosine)[0]
  np.testing.assert_allclose(
    label_logit(embeddings, True), label_logit(embeddings, False), rtol=1e-6
  )
  gradient = jax.grad(label_logit)
  free = gradient(embeddings, False, margin=0.0)
  np.testing.assert_allclose(gradient(embeddings, True), free, rtol=1e-5)
  np.testing.assert_allclose(
    gradient(embeddings, False), want * free, rtol=1e-4, atol=1e-5
  )


@pytest.mark.parametrize('sign', [1.0, -1.0])
def test_finite_gradient_on_the_class_weight_and_at_zero(sign):
  head = jnp.eye(3)
  labels = jnp.array([0])

  @jax.jit
  @jax.grad
  def gradient(embeddings):
    logits = metric.arcface_logits(embeddings, head, labels)
    return metric.cross_entropy(logits, labels)

  for embeddings in (sign * head[:1], jnp.zeros((1, 3))):
    chex.assert_tree_all_finite(gradient(embeddings))


def test_gradients_by_finite_differences():
  labels = jnp.array([0, 2, 1])

  def loss(embeddings, head):
    logits = metric.arcface_logits(embeddings, head, labels, scale=4.0)
    return metric.cross_entropy(logits, labels)

  arguments = random(3, 4), random(3, 4, seed=1)
  jax.test_util.check_grads(
    jax.jit(loss), arguments, order=1, modes=['rev'], eps=1e-2, rtol=2e-2
  )


def test_cross_entropy_equals_numpy():
  logits = np.array([[1.0, 2.0, 300.0], [0.0, -1.0, 0.5]])
  labels = np.array([0, 2])
  shifted = logits - logits.max(axis=1, keepdims=True)
  log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
  got = metric.cross_entropy(jnp.asarray(logits, jnp.float32), labels)
  np.testing.assert_allclose(got, -log_p[[0, 1], labels].mean(), rtol=1e-6)


def test_unit():
  vectors = jnp.array([[3.0, 4.0], [0.0, 0.0]])
  np.testing.assert_allclose(
    metric.unit(vectors), [[0.6, 0.8], [0.0, 0.0]], rtol=1e-6
  )


def test_shapes_are_checked():
  with pytest.raises(AssertionError):
    metric.softmax_logits(jnp.zeros((2, 3)), jnp.zeros((4, 5)))
  with pytest.raises(AssertionError):
    metric.arcface_logits(
      jnp.zeros((2, 3)), jnp.zeros((4, 3)), jnp.zeros((3,), jnp.int32)
    )

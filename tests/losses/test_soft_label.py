"""Soft labels and the second loss against NumPy."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from palmjax.losses import metric, soft_label

cross_entropy = jax.jit(metric.cross_entropy)
second_loss = jax.jit(soft_label.second_loss, static_argnames='plain_mean')


def random(*shape, seed=0):
  return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def log_softmax(logits):
  shifted = logits - logits.max(axis=-1, keepdims=True)
  return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def distributions(count, classes, seed=0):
  weights = np.random.default_rng(seed).exponential(size=(count, classes))
  return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


def test_soft_labels():
  logits = np.float32([[0.0, 2.0 * np.log(3.0)]])
  got = jax.jit(soft_label.soft_labels)(logits, temperature=2.0)
  np.testing.assert_allclose(got, [[0.25, 0.75]], rtol=1e-6)


def test_no_gradient_through_soft_labels():
  logits = random(2, 3)

  def scalar(logits):
    return jnp.sum(soft_label.soft_labels(logits) ** 2)

  gradient = jax.jit(jax.grad(scalar))(logits)
  np.testing.assert_array_equal(gradient, np.zeros((2, 3)))


def test_confidence():
  soft = np.float32([[1.0, 0, 0, 0], [0.25] * 4, [0.5, 0.5, 0, 0]])
  got = jax.jit(soft_label.confidence)(soft)
  np.testing.assert_allclose(got, [1.0, 0.0, 0.5], atol=1e-6)


def test_soft_cross_entropy_is_kl_plus_entropy():
  logits, soft = random(4, 5), distributions(4, 5)
  kl = np.sum(soft * (np.log(soft) - log_softmax(logits)), axis=1)
  entropy = -np.sum(soft * np.log(soft), axis=1)
  got = jax.jit(soft_label.soft_cross_entropy)(logits, soft)
  np.testing.assert_allclose(got, kl + entropy, rtol=1e-5)


def test_gradient_is_probability_minus_label():
  logits, soft = random(4, 5), distributions(4, 5)

  def loss(logits):
    return jnp.sum(soft_label.soft_cross_entropy(logits, soft))

  got = jax.jit(jax.grad(loss))(logits)
  np.testing.assert_allclose(got, np.exp(log_softmax(logits)) - soft, atol=1e-6)


@pytest.mark.parametrize('weighted', [False, True])
def test_second_loss_equals_numpy(weighted):
  logits, generated = random(3, 5), random(2, 5, seed=1)
  labels, soft = np.array([4, 0, 1]), distributions(2, 5)
  hard = -log_softmax(logits)[np.arange(3), labels]
  easy = -np.sum(soft * log_softmax(generated), axis=1)
  confidences = np.array([0.2, 0.7], np.float32) if weighted else np.ones(2)
  weights = 0.5 * confidences
  total = (hard.sum() + (weights * easy).sum()) / (3 + weights.sum())
  got = second_loss(
    logits,
    labels,
    generated,
    soft,
    weight=0.5,
    confidences=confidences if weighted else None,
  )
  np.testing.assert_allclose(got, [total, hard.mean(), easy.mean()], rtol=1e-5)


def test_second_loss_of_one_hot_labels_is_cross_entropy_over_all():
  logits, labels = random(5, 4), np.array([0, 3, 2, 2, 1])
  want = cross_entropy(logits, labels)
  loss, _, _ = second_loss(
    logits[:3], labels[:3], logits[3:], np.eye(4, dtype=np.float32)[labels[3:]]
  )
  np.testing.assert_allclose(loss, want, rtol=1e-6)


def test_weight_zero_is_the_first_loss():
  logits, labels = random(3, 4), np.array([0, 3, 2])
  loss, first, _ = second_loss(
    logits, labels, random(2, 4, seed=1), distributions(2, 4), weight=0.0
  )
  want = cross_entropy(logits, labels)
  chex.assert_trees_all_close((loss, first), (want, want), rtol=1e-6)


def test_plain_mean_is_that_of_the_source():
  """The mean over all images, λ on the generated ones."""
  rng = np.random.default_rng(4)
  logits, generated = rng.normal(size=(3, 5)), rng.normal(size=(6, 5))
  labels, soft = np.array([0, 4, 2]), rng.dirichlet(np.ones(5), size=6)
  arguments = [np.float32(a) for a in (logits, generated, soft)]

  def log_softmax(x):
    return x - np.log(np.exp(x).sum(axis=1, keepdims=True))

  hard = -log_softmax(logits)[np.arange(3), labels]
  soft_part = -(soft * log_softmax(generated)).sum(axis=1)
  loss, *_ = second_loss(
    arguments[0],
    labels,
    *arguments[1:],
    weight=2.5,
    plain_mean=True,
  )
  expected = (hard.sum() + 2.5 * soft_part.sum()) / 9
  np.testing.assert_allclose(loss, expected, rtol=1e-5)
